"""What rows of several elements store: their fields, and energies relative to the crystal."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import NDArray
from pydantic import FiniteFloat, TypeAdapter

from gcd_hpc.errors import StoreError, shortened
from gcd_hpc.store.field import Field

FORMULA = Field("formula", "numbers of atoms by element; empty for one element", since=6)
SURPLUS = Field(
    "surplus",
    "atoms that the ratio of the crystal does not explain, such as Al+2: for a crystal of "
    "a first atoms and b second ones (N_2 a - N_1 b) over the divisor of a and b, for a "
    "solute all of its atoms; empty if there are none",
    since=6,
)
COMPOSITION_ENERGY = Field(
    "energy of the composition",
    "part of gb_energy_j_m2 that the surplus atoms have by their chemical potentials",
    "J/m^2",
    since=6,
)
RICH_GB_ENERGY = Field(
    "E_gb, rich",
    "gb_energy_j_m2 in equilibrium with the pure first element of a compound; NaN in a "
    "crystal of one element",
    "J/m^2",
    since=6,
)
POOR_GB_ENERGY = Field("E_gb, poor", "the same with the pure second element", "J/m^2", since=6)
ELEMENT_ENERGIES = Field(
    "energies of the elements",
    "by element, as JSON: mean energy of its atoms in the crystal (of a solute its "
    "chemical potential), and chemical potential, eV; empty where there is one element",
    since=6,
)

_STORED = TypeAdapter(dict[str, tuple[FiniteFloat, FiniteFloat]])


def stored_energies(
    symbols: Sequence[str], site_ev: Sequence[float], mu_ev: Sequence[float]
) -> str:
    """Energies of the elements as the field ``element_energies_ev``."""
    energies = zip(symbols, site_ev, mu_ev, strict=True)
    return json.dumps({symbol: [site, mu] for symbol, site, mu in energies})


def excess_energies(row: Mapping[str, Any]) -> NDArray[np.float64]:
    """Energies (N,) of the atoms above the mean of their element in the crystal, eV.

    Args:
        row: fields of a candidate, atoms included.

    Raises:
        StoreError: if the field ``element_energies_ev`` is damaged.
    """
    energies, text = np.asarray(row["energies_ev"]), row.get("element_energies_ev", "")
    if not text:
        return np.asarray(energies - row["cohesive_ev"])
    found = np.zeros(len(energies))
    try:
        known = _STORED.validate_json(text)
        sites = {atomic_numbers[symbol]: site_ev for symbol, (site_ev, _) in known.items()}
    except (ValueError, KeyError):
        raise StoreError(
            f"element_energies_ev holds no energies of elements, but {shortened(repr(text))};"
            " gcd-hpc verify lists what is wrong with the file"
        ) from None
    for number, site_ev in sites.items():
        found[np.asarray(row["numbers"]) == number] = site_ev
    return np.asarray(energies - found)


def compared_energies(row: Mapping[str, Any]) -> NDArray[np.float64]:
    """Energies (N,) of the atoms, eV, moved so that each element has the mean of the crystal."""
    if not row.get("element_energies_ev", ""):
        return np.asarray(row["energies_ev"])
    return excess_energies(row) + float(row["cohesive_ev"])


def symbols_of(numbers: NDArray[np.integer], element: str) -> list[str]:
    """Chemical symbols (N,) of atoms; 0 in files of earlier versions is the only element."""
    return [chemical_symbols[number] if number else element for number in numbers.tolist()]


def kinds_of(numbers: NDArray[np.integer], symbols: Sequence[str]) -> NDArray[np.int64]:
    """Place of each atom's element among some elements, (N,); 0 for atoms of unknown element."""
    order = np.array([atomic_numbers[symbol] for symbol in symbols])
    return np.asarray((np.asarray(numbers)[:, None] == order).argmax(axis=1))
