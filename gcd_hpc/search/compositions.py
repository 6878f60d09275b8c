"""How the energies of structures of several elements change with a chemical potential.

docs/science.md#elements has the formulas, docs/science.md#explore what exploration makes of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite

import numpy as np
from ase.data import atomic_numbers

from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.composition import Chemistry, composition_energies, counts_of
from gcd_hpc.structures.energetics import J_PER_M2
from gcd_hpc.structures.envelope import Array, lower_envelope, lowest_lines


@dataclass(frozen=True)
class MuRange:
    """Chemical potentials at which a structure is worth knowing, x eV from the campaign's own.

    In a compound x is that of the second element less the campaign's, from equilibrium with the
    pure first element to that with the pure second one. For solutes in a crystal of one element it
    is the campaign's less theirs, from 0 on: all of them are lowered together.

    low, high: ends of the range of x, eV; high may be infinite.
    """

    chemistry: Chemistry
    bicrystal: Bicrystal
    low: float
    high: float

    def slope(self, formula: str) -> float:
        """Change of E_gb with x of a structure, J/m^2 per eV.

        Args:
            formula: numbers of atoms by element of the whole slab, as the field of a candidate.
        """
        counts = {atomic_numbers[element]: num for element, num in counts_of(formula).items()}
        numbers = np.repeat(list(counts), list(counts.values()))
        if not isfinite(self.high):
            num_solutes = int((~np.isin(numbers, self.bicrystal.lower.crystal.numbers)).sum())
            return num_solutes / self.bicrystal.area * J_PER_M2
        _, rich, poor = composition_energies(self.chemistry, self.bicrystal, numbers)
        return (poor - rich) / (self.high - self.low)


def range_of_mu(chemistry: Chemistry | None, bicrystal: Bicrystal) -> MuRange | None:
    """Range of the chemical potential of a boundary; None where it has none.

    That is so in a crystal of one element without solutes, in a compound of which a pure element
    has no stable crystal, and in one that is less stable than its pure elements.
    """
    if chemistry is None:
        return None
    if len(set(bicrystal.lower.crystal.numbers)) == 1:
        return MuRange(chemistry, bicrystal, 0.0, inf)
    low, high = (
        limits[1] - chemistry.mu_ev[1] for limits in (chemistry.rich_ev, chemistry.poor_ev)
    )
    return MuRange(chemistry, bicrystal, low, high) if low < high else None


@dataclass(frozen=True)
class Envelope:
    """Lowest energy of some structures of one [n] along a range of the chemical potential.

    ids: (P,) structures that are the lowest somewhere in the range, from its low end on.
    intercepts, slopes: (P,) of their energies, J/m^2, and J/m^2 per eV.
    low, high: ends of the range, eV; high may be infinite.
    """

    ids: tuple[str, ...]
    intercepts: Array
    slopes: Array
    low: float
    high: float

    @classmethod
    def of(
        cls,
        ids: Sequence[str],
        energies: Sequence[float],
        surplus: Sequence[str],
        slopes: Mapping[str, float],
        low: float,
        high: float,
    ) -> "Envelope":
        """Envelope of at least one structure of one [n], whatever their order.

        Args:
            ids, energies: (M,); at the campaign's chemical potentials, J/m^2.
            surplus: (M,) their compositions.
            slopes: of each composition, J/m^2 per eV.
        """
        # Lines of one composition are parallel, so that only the lowest of them can be lowest.
        lowest: dict[str, int] = {}
        for row in sorted(range(len(ids)), key=lambda row: (energies[row], ids[row])):
            lowest.setdefault(surplus[row], row)
        rows = list(lowest.values())
        intercepts = np.array([energies[row] for row in rows])
        own = np.array([slopes[surplus[row]] for row in rows])
        members = lower_envelope(intercepts, own, low, high)
        chosen = tuple(ids[rows[one]] for one in members)
        return cls(chosen, intercepts[members], own[members], low, high)

    def reaches(self, slope: float) -> float:
        """Highest energy with which a structure of a composition is the lowest somewhere, J/m^2.

        That is at the campaign's chemical potentials, and the structure then equals the envelope at
        one point of the range. An infinite range ends with the last change of the lowest structure.

        Args:
            slope: of the composition, J/m^2 per eV.
        """
        changes = lowest_lines(self.intercepts, self.slopes, self.low, self.high)
        ends = [self.low, *(at for at, _, _ in changes), self.high]
        points = np.array([one for one in ends if isfinite(one)])
        lowest = (self.intercepts[:, None] + self.slopes[:, None] * points).min(axis=0)
        return float((lowest - slope * points).max())
