"""Reference structures of the tests: two relaxed phases of the W Sigma5 twist boundary whose
energies are known from the literature. ``tests/data/w_sigma5/make.py`` made them.
"""

from pathlib import Path

from ase import Atoms

from gcd_hpc.structures.files import read_structures

FOLDER = Path(__file__).parent / "data/w_sigma5"
GROUND_STATE = FOLDER / "phase_n1of5.extxyz"
"""One cell at [n] = 1/5, 422 atoms."""
METASTABLE = FOLDER / "phase_n2of5_2x1.extxyz"
"""Two cells along x at [n] = 2/5, 848 atoms."""
ENERGIES_J_M2 = {GROUND_STATE: 2.2969, METASTABLE: 2.4688}
"""As published for this potential."""
ATOM_ENERGY = "atom_energy_ev"
"""The array of the atoms' energies, eV."""


def phase(path: Path) -> Atoms:
    """A reference structure, with the energies of its atoms as an array."""
    return read_one(path)


def read_one(path: Path, *elements: str) -> Atoms:
    """The only structure in a file."""
    (atoms,) = read_structures(path, elements or ("W",))
    return atoms
