"""Elements of a boundary and their chemical potentials: what is refused, in one sentence."""

from typing import Any

import pytest
from pydantic import ValidationError

from gcd_hpc.config.boundary import BoundaryConfig


def boundary(**keys: Any) -> BoundaryConfig:
    return BoundaryConfig(sigma=5, axis=(0, 0, 1), plane=(2, 1, 0), **keys)


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"lattice": "fcc"}, "is required but missing, or elements for several"),
        (
            {"lattice": "b2", "element": "Ni"},
            r"is one, but a b2 crystal has two; give elements: \[Ni, Al\]",
        ),
        (
            {"lattice": "b2", "element": "Ni", "elements": ("Ni", "Al")},
            "and elements are both given; leave one of them out",
        ),
        ({"lattice": "fcc", "elements": ("Cu",)}, "must be two at least"),
        ({"lattice": "fcc", "elements": ("Cu", "Cu")}, "must be different, got Cu, Cu"),
        ({"lattice": "hcp", "elements": ("Ti", "Al")}, "must be one where lattice is hcp"),
        ({"lattice": "fcc", "elements": ("Cu", "nickel")}, "must be a chemical symbol such as W"),
        (
            {"lattice": "b2", "elements": ("Ni", "Al"), "mu": {"Cr": -4.0}},
            "names Cr, which is none of Ni, Al",
        ),
        (
            {"lattice": "b2", "elements": ("Ni", "Al"), "mu": {"Ni": -4.5, "Al": -3.5}},
            "must not give Ni and Al, because the energy of a formula unit does; leave Al out",
        ),
        (
            {"lattice": "fcc", "elements": ("Cu", "Ni"), "mu": {"Cu": -3.5}},
            "must not give Cu, because its cohesive energy does; leave Cu out",
        ),
    ],
)
def test_elements_that_make_no_crystal_are_refused(keys: dict[str, Any], sentence: str):
    with pytest.raises(ValidationError, match=sentence):
        boundary(**keys)


def test_symbols_are_those_of_the_crystal_and_then_solutes():
    assert boundary(lattice="fcc", element="Cu").symbols == ("Cu",)
    alloy = boundary(lattice="b2", elements=("Ni", "Al", "Cr"), mu={"Al": -3.5, "Cr": -4.1})
    assert alloy.symbols == ("Ni", "Al", "Cr")
