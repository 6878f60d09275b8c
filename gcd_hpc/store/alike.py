"""Which runs can be put side by side: those of one boundary and one potential."""

from typing import Any

from gcd_hpc.config.boundary import LIMITS, NAME, BoundaryConfig
from gcd_hpc.store.crystal import boundary_of
from gcd_hpc.store.run import Run
from gcd_hpc.structures.naming import orientations

MAY_DIFFER = ("slab_heights",)
"""Keys of the boundary section that do not identify the boundary."""


def difference(first: Run, other: Run) -> str:
    """Reason why energies of two runs are not of one boundary and potential; empty if they are.

    A boundary may be named in two ways, and in-plane cells may differ: [n] and E_gb of a structure
    do not depend on how often its cell is repeated.
    """
    boundaries = [boundary_of(one.provenance.get("config", "")) for one in (first, other)]
    if any(one is None for one in boundaries):
        return "a file names no boundary"
    mine, theirs = (identity_of(one, "replicas") for one in boundaries if one is not None)
    if mine != theirs:
        keys = ", ".join(f"boundary.{key}" for key in mine if mine[key] != theirs[key])
        return f"they are not of one boundary ({keys} differ)"
    if len(potentials_of(first) | potentials_of(other)) > 1:
        return "they are not of one potential"
    return ""


def identity_of(boundary: BoundaryConfig, *excluded: str) -> dict[str, Any]:
    """What makes a boundary, with the directions of the grains in place of its name.

    Args:
        excluded: further keys that may differ.
    """
    left_out = {"lower", "upper", *NAME, *LIMITS, *MAY_DIFFER, *excluded}
    lower, upper = (
        {axis: list(direction) for axis, direction in zip("xyz", grain, strict=True)}
        for grain in orientations(boundary)
    )
    return boundary.model_dump(mode="json", exclude=left_out) | {"lower": lower, "upper": upper}


def potentials_of(run: Run) -> set[str]:
    """SHA-256 of the potentials of the relaxed candidates."""
    relaxed = run.select("status=ok").columns(["potential_sha256"])
    return set(relaxed["potential_sha256"].tolist())
