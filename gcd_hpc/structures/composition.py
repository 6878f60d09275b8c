"""Composition of a boundary: which atoms it has too many or too few of, and what they cost.

docs/science.md#elements derives the formulas.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import gcd, nan
from typing import TypeVar

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import ArrayLike, NDArray

from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.energetics import J_PER_M2, n_fraction
from gcd_hpc.structures.grain import Grain

Element = TypeVar("Element", int, str)
"""Atomic number or chemical symbol."""
_COUNT = re.compile(r"([A-Z][a-z]?)(\d+)")


@dataclass(frozen=True)
class Chemistry:
    """Reference energies of several elements, eV, each in the order of ``numbers``.

    numbers: atomic numbers, those of the crystal first, then solutes.
    site_ev: mean energy of the element's atoms in the perfect crystal. A solute has none, and its
    chemical potential stands in.
    mu_ev: chemical potentials. Those of the crystal's elements add up to the energy of a formula
    unit.
    rich_ev: chemical potentials in equilibrium with the pure first element; mu_ev if the crystal
    has one element.
    poor_ev: the same with the pure second element.
    """

    numbers: tuple[int, ...]
    site_ev: tuple[float, ...]
    mu_ev: tuple[float, ...]
    rich_ev: tuple[float, ...]
    poor_ev: tuple[float, ...]

    @property
    def symbols(self) -> tuple[str, ...]:
        """Chemical symbols."""
        return tuple(chemical_symbols[number] for number in self.numbers)

    def mean_energies(self, numbers: ArrayLike) -> NDArray[np.float64]:
        """Energies in the crystal of atoms with these atomic numbers (N,), (N,) eV."""
        known = np.array(self.numbers)
        places = (np.asarray(numbers)[:, None] == known).argmax(axis=1)
        return np.asarray(np.array(self.site_ev)[places])

    def compared(
        self, energies_ev: NDArray[np.float64], numbers: ArrayLike, cohesive_ev: float
    ) -> NDArray[np.float64]:
        """Energies (N,) of atoms moved so that each element has the mean energy of the crystal, eV.

        They can then be compared with one energy, as those of a crystal of one element.
        """
        return energies_ev - (self.mean_energies(numbers) - cohesive_ev)

    def composition_ev(
        self, bicrystal: Bicrystal, numbers: ArrayLike, mu_ev: tuple[float, ...] | None = None
    ) -> float:
        """What an off-stoichiometric boundary costs because of its atoms' chemical potentials, eV.

        It is the sum over the elements of g (e - mu): number of atoms beyond those of the crystal
        and of the slab's ends, mean energy in the crystal, chemical potential. Atoms in the ratio
        of the crystal cost nothing.

        Args:
            numbers: (N,) atomic numbers of the whole slab.
            mu_ev: chemical potentials in the order of ``self.numbers``; ``self.mu_ev`` if None.
        """
        extra = atoms_beyond_ends(bicrystal, numbers)
        potentials = self.mu_ev if mu_ev is None else mu_ev
        return sum(
            extra.get(number, 0.0) * (site - mu)
            for number, site, mu in zip(self.numbers, self.site_ev, potentials, strict=True)
        )


def formula(numbers: ArrayLike, order: tuple[int, ...]) -> str:
    """Numbers of atoms by element, such as Ni120Al118, in the order of some atomic numbers."""
    values = np.asarray(numbers)
    counts = {one: int((values == one).sum()) for one in order}
    return "".join(f"{chemical_symbols[one]}{num}" for one, num in counts.items() if num)


def counts_of(formula: str) -> dict[str, int]:
    """Number of atoms by element of a formula, such as Ni120Al118; none for an empty one."""
    return {element: int(num) for element, num in _COUNT.findall(formula)}


def surplus(bicrystal: Bicrystal, numbers: ArrayLike, order: tuple[int, ...]) -> str:
    """Atoms that the ratio of the crystal does not explain, such as Al+2; empty if there are none.

    In a crystal of a first atoms and b second ones it is N_2 a - N_1 b over the divisor of a and b;
    for a solute the number of its atoms. Whole lattice planes of the crystal do not change it.

    Args:
        numbers: (N,) atomic numbers of the whole slab.
        order: atomic numbers of the elements.
    """
    values = np.asarray(numbers)
    first, *others = (int((values == one).sum()) for one in order)
    shares = [bicrystal.lower.crystal.numbers.count(one) for one in order]
    found = [
        (num * shares[0] - first * share) // gcd(shares[0], share)
        for num, share in zip(others, shares[1:], strict=True)
    ]
    symbols = (chemical_symbols[one] for one in order[1:])
    return " ".join(f"{name}{num:+d}" for name, num in zip(symbols, found, strict=True) if num)


def element_fractions(
    counts: Mapping[Element, int], basis: Sequence[Element], atoms_per_plane: int
) -> dict[Element, float]:
    """[n] of each element of a crystal, which whole lattice planes at the ends do not change.

    Such a plane holds p = N_plane / (number of atoms of the basis) lattice points and p c atoms of
    an element that has c atoms in the basis: its [n] is (N mod p c) / (p c), 0 <= [n] < 1.

    Args:
        counts: number of atoms N of each element, by symbol or atomic number.
        basis: element of each atom of the crystal's basis.
        atoms_per_plane: N_plane of the bicrystal, a multiple of the number of atoms of the basis.
    """
    points = atoms_per_plane // len(basis)
    shares = {element: points * basis.count(element) for element in basis}
    return {element: n_fraction(counts.get(element, 0), share) for element, share in shares.items()}


def atoms_beyond_ends(bicrystal: Bicrystal, numbers: ArrayLike) -> dict[int, float]:
    """Atoms of a slab by atomic number, less those that its two ends have too many.

    A slab that begins with a plane of one element has half a plane of it more than its share there.
    """
    values = np.asarray(numbers)
    found = {int(one): float((values == one).sum()) for one in np.unique(values)}
    for grain, sign in ((bicrystal.lower, 1.0), (bicrystal.upper, -1.0)):
        points = _points_per_plane(grain, bicrystal)
        for number, phase in zip(grain.crystal.numbers, grain.phases, strict=True):
            found[number] = found.get(number, 0.0) - sign * (0.5 - phase) * points
    return found


def _points_per_plane(grain: Grain, bicrystal: Bicrystal) -> int:
    """Lattice points in one lattice plane of a grain, in the whole common cell."""
    volume = grain.crystal.atomic_volume * len(grain.crystal.numbers)
    return round(bicrystal.area * grain.spacing / volume)


def composition_energies(
    chemistry: Chemistry | None, bicrystal: Bicrystal, numbers: NDArray[np.integer] | None
) -> tuple[float, float, float]:
    """Part of E_gb that atoms beyond the ratio of the crystal have, J/m^2.

    Returns:
        It at the chosen chemical potentials, in equilibrium with the pure first element, and with
        the pure second one. The last two are NaN in a crystal of one element.
    """
    if chemistry is None or numbers is None:
        return 0.0, nan, nan
    energies = [
        chemistry.composition_ev(bicrystal, numbers, mu) / bicrystal.area * J_PER_M2
        for mu in (chemistry.mu_ev, chemistry.rich_ev, chemistry.poor_ev)
    ]
    if chemistry.rich_ev == chemistry.poor_ev:
        return energies[0], nan, nan
    return energies[0], energies[1], energies[2]
