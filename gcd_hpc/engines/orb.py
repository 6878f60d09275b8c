"""Orb's calculator, which its package makes in two steps."""

from typing import Any


def calculator(
    model: str = "orb_v3_conservative_inf_omat",
    weights: str | None = None,
    precision: str = "float32-highest",
    device: str | None = None,
) -> Any:
    """Calculator of an Orb model, by its name in ``orb_models.forcefield.pretrained``.

    Args:
        weights: file of the model's weights; orb-models downloads those of the name once if None.
        precision: float32-high, which rounds products to fewer digits on a GPU, float32-highest or
            float64.
        device: of torch; a GPU where there is one if None.
    """
    # Not installed with this package, and only the calculator's own process imports it.
    from orb_models.forcefield import pretrained
    from orb_models.forcefield.calculator import ORBCalculator

    given = {} if weights is None else {"weights_path": weights}
    # Compiling takes minutes and a C++ compiler, and a process of ours evaluates a few structures.
    network = getattr(pretrained, model)(device=device, precision=precision, compile=False, **given)
    return ORBCalculator(network, device=device)
