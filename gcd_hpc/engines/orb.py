"""Orb's calculator, which its package makes in two steps."""

from typing import Any


def calculator(model: str = "orb_v3_conservative_inf_omat", device: str = "cpu") -> Any:
    """Calculator of a pretrained Orb model; orb-models downloads its weights once."""
    # Not installed with this package, and only the calculator's own process imports it.
    from orb_models.forcefield import pretrained
    from orb_models.forcefield.calculator import ORBCalculator

    return ORBCalculator(getattr(pretrained, model)(device=device), device=device)
