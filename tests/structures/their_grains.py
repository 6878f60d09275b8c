"""Grains and boundaries as pymatgen builds them, which knows nothing of ours.

pymatgen is imported by the first test that needs it: that takes some seconds, and every process of
the suite imports all test files.
"""

import warnings
from types import ModuleType
from typing import Any


def pymatgen() -> ModuleType:
    """``pymatgen.core``, with its module ``interface``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own deprecations are not ours to fail on
        import pymatgen.core.interface

    return pymatgen.core


def cubic(space_group: str, a0: float, elements: list[str]) -> Any:
    """Crystal with the first site of its group at the origin."""
    core = pymatgen()
    return core.Structure.from_spacegroup(
        space_group, core.Lattice.cubic(a0), elements, [[0, 0, 0]]
    )


def grains(crystal: Any, axis: tuple, angle_deg: float, plane: tuple) -> Any:
    """Boundary on a plane of a crystal, two cells thick, as pymatgen's ``GrainBoundary``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return (
            pymatgen()
            .interface.GrainBoundaryGenerator(crystal)
            .gb_from_parameters(
                axis, angle_deg, expand_times=2, plane=plane, normal=True, rm_ratio=0.0
            )
        )
