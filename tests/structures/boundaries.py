"""Boundaries that the tests of this room build, with what the literature says of them."""

from typing import NamedTuple

from gcd_hpc.config.campaign import BoundaryConfig, Triad
from gcd_hpc.structures.bicrystal import Bicrystal

Triple = tuple[int, int, int]


def bicrystal(
    element: str,
    lattice: str,
    a0: float,
    lower: tuple[Triple, Triple, Triple],
    upper: tuple[Triple, Triple, Triple],
    **options,
) -> Bicrystal:
    triads = [Triad(x=x, y=y, z=z) for x, y, z in (lower, upper)]
    return Bicrystal.build(
        BoundaryConfig(
            element=element, lattice=lattice, lower=triads[0], upper=triads[1], **options
        ),
        a0,
    )


class Case(NamedTuple):
    """A boundary, its Sigma and disorientation from the literature, and pymatgen's words for it."""

    bicrystal: Bicrystal
    sigma: int
    angle: float
    axis: Triple
    space_group: str
    rotation_axis: Triple
    rotation_angle: float
    plane: Triple


_SI_W_310 = (((0, 0, 1), (1, -3, 0), (3, 1, 0)), ((0, 0, 1), (-1, -3, 0), (3, -1, 0)))
TWIST = (((3, -1, 0), (1, 3, 0), (0, 0, 1)), ((3, 1, 0), (-1, 3, 0), (0, 0, 1)))

W_TWIST = bicrystal("W", "bcc", 3.164849, *TWIST)
PERFECT = bicrystal("W", "bcc", 3.164849, TWIST[0], TWIST[0])
SI_TWIST = bicrystal("Si", "diamond", 5.431, *TWIST)
ASYMMETRIC = bicrystal(
    "Cu",
    "fcc",
    3.615,
    ((0, 0, 1), (1, -1, 0), (1, 1, 0)),
    ((0, 0, 1), (0, -1, 0), (1, 0, 0)),
    max_strain=0.02,
)

UNLIKE_PLANES = bicrystal(
    "Cu", "fcc", 3.615, ((0, 0, 1), (1, 0, 0), (0, 1, 0)), ((0, 0, 1), (3, -4, 0), (4, 3, 0))
)
"""Sigma5 (100)||(430) asymmetric tilt: 10 atoms in a plane below, 2 above."""

CASES = {
    "W Sigma5(310)[001] tilt": Case(
        bicrystal("W", "bcc", 3.165, *_SI_W_310),
        5,
        36.8698976,
        (0, 0, 1),
        "Im-3m",
        (0, 0, 1),
        36.86989764584402,
        (3, 1, 0),
    ),
    "Cu Sigma5(210)[001] tilt": Case(
        bicrystal(
            "Cu",
            "fcc",
            3.615,
            ((0, 0, 1), (1, -2, 0), (2, 1, 0)),
            ((0, 0, 1), (-1, -2, 0), (2, -1, 0)),
        ),
        5,
        36.8698976,
        (0, 0, 1),
        "Fm-3m",
        (0, 0, 1),
        53.13010235415598,
        (2, 1, 0),
    ),
    "Al Sigma11(113)[110] tilt": Case(
        bicrystal(
            "Al",
            "fcc",
            4.05,
            ((1, -1, 0), (3, 3, -2), (1, 1, 3)),
            ((1, -1, 0), (3, 3, 2), (-1, -1, 3)),
        ),
        11,
        50.4788036,
        (0, 1, 1),
        "Fm-3m",
        (1, 1, 0),
        50.478803641357835,
        (1, -1, 3),
    ),
    "Ni Sigma3(111) twist": Case(
        bicrystal(
            "Ni",
            "fcc",
            3.52,
            ((1, -1, 0), (1, 1, -2), (1, 1, 1)),
            ((-1, 1, 0), (-1, -1, 2), (1, 1, 1)),
        ),
        3,
        60.0,
        (1, 1, 1),
        "Fm-3m",
        (1, 1, 1),
        59.99999999999999,
        (1, 1, 1),
    ),
    "Si Sigma5(310)[001] tilt": Case(
        bicrystal("Si", "diamond", 5.431, *_SI_W_310),
        5,
        36.8698976,
        (0, 0, 1),
        "Fd-3m",
        (0, 0, 1),
        36.86989764584402,
        (3, 1, 0),
    ),
}


def oblique(element: str, lattice: str, a0: float, sigma: int) -> Bicrystal:
    """A twist on {111} in its smallest cell, a rhomb."""
    config = BoundaryConfig(
        element=element, lattice=lattice, sigma=sigma, axis=(1, 1, 1), twist=True, cell="smallest"
    )
    return Bicrystal.build(config, a0)


OBLIQUE = {
    "Cu Sigma3(111) rhomb": oblique("Cu", "fcc", 3.615, 3),
    "Cu Sigma7(111) rhomb": oblique("Cu", "fcc", 3.615, 7),
    "Si Sigma7(111) rhomb": oblique("Si", "diamond", 5.431, 7),
}
ALL = {
    **{name: case.bicrystal for name, case in CASES.items()},
    "W twist": W_TWIST,
    "perfect": PERFECT,
    "Si twist": SI_TWIST,
    "strained": ASYMMETRIC,
    "unlike planes": UNLIKE_PLANES,
    **OBLIQUE,
}
