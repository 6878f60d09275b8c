"""Symmetry operations keep each element of a compound on its own sublattice."""

import numpy as np
import pytest

from gcd_hpc.config.campaign import BoundaryConfig
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.frame import Frame
from gcd_hpc.structures.periodic import Neighbors
from gcd_hpc.structures.sites import Sites

COMPOUNDS = {"b2": (("Ni", "Al"), 2.88), "l12": (("Ni", "Al"), 3.57)}
PLANES = {
    "tilt (210)": {"sigma": 5, "axis": (0, 0, 1), "plane": (2, 1, 0)},
    "tilt (310)": {"sigma": 5, "axis": (0, 0, 1), "plane": (3, 1, 0)},
    "tilt (112)": {"sigma": 3, "axis": (1, -1, 0), "plane": (1, 1, 2)},
    "twist (001)": {"sigma": 5, "axis": (0, 0, 1), "twist": True},
    "twist (110)": {"sigma": 3, "axis": (1, 1, 0), "twist": True},
    "twist (111)": {"sigma": 7, "axis": (1, 1, 1), "twist": True, "cell": "smallest"},
}


def compound(lattice: str, plane: str) -> Bicrystal:
    elements, a0 = COMPOUNDS[lattice]
    config = BoundaryConfig(elements=elements, lattice=lattice, **PLANES[plane])
    return Bicrystal.build(config, a0)


def is_on_sites(found: Sites, expected: Sites, boundary: Bicrystal) -> bool:
    """Whether the same atoms, element by element, are at the same places."""
    if len(found.numbers) != len(expected.numbers):
        return False
    distances, nearest = Neighbors(found.positions, boundary.cell).nearest(expected.positions)
    # Places are rounded in the last digits.
    return bool(distances.max() < 1e-6 and (found.numbers[nearest] == expected.numbers).all())


@pytest.mark.parametrize("lattice", COMPOUNDS)
@pytest.mark.parametrize("plane", PLANES)
def test_a_turned_slab_is_a_slab_of_the_same_bicrystal_with_each_element_on_its_sublattice(
    lattice, plane
):
    boundary = compound(lattice, plane)
    height = 8 * boundary.plane_spacing
    frame = Frame.build(boundary, (height, height), 2 * height + 20.0)
    atoms = frame.join((0.7, 0.3, 0.2))
    below = frame.lower_sites(frame.centre)
    first = frame.centre + 0.2
    above = frame.upper_sites((0.0, 0.0, 0.2), first)
    for operation in boundary.symmetry_operations:
        positions = frame.transform(atoms.positions, operation, atoms.numbers)
        turned = Sites(positions, atoms.numbers)
        is_lower = positions[:, 2] < frame.centre - 1e-6
        assert is_on_sites(turned.of(is_lower), below, boundary)
        # Of the upper grain only the registry may differ.
        upper = turned.of(~is_lower)
        lowest = np.argmin(upper.positions[:, 2])
        starts = above.positions[np.abs(above.positions[:, 2] - first) < 1e-6]
        steps = upper.positions[lowest] - starts
        assert any(
            is_on_sites(
                upper, Sites(boundary.wrap(above.moved(step).positions), above.numbers), boundary
            )
            for step in steps
        )


@pytest.mark.parametrize("lattice", COMPOUNDS)
def test_a_compound_has_the_turns_of_a_twist_boundary(lattice):
    operations = compound(lattice, "twist (001)").symmetry_operations
    assert any(operation[0, 1] and operation[2, 2] > 0 for operation in operations)


def test_a_boundary_with_a_chemical_potential_is_the_same_crystal():
    boundary = BoundaryConfig(
        elements=("Ni", "Al"), lattice="b2", mu={"Al": -3.0}, **PLANES["tilt (210)"]
    )
    assert Bicrystal.build(boundary, 2.88) == compound("b2", "tilt (210)")
