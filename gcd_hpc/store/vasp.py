"""Input folders of VASP for the structures of a run, without POTCAR, which needs a licence.

Beside them lie the folders whose energies turn the total energy of a slab into that of its
boundary: the crystal, and a slab of each grain (docs/science.md#surfaces).
"""

from io import StringIO
from math import ceil, pi
from pathlib import Path

import numpy as np
from ase import Atoms

from gcd_hpc.engines.surfaces import grain_slab
from gcd_hpc.store.fingerprints import outer_thickness
from gcd_hpc.store.run_candidate import RunCandidate
from gcd_hpc.structures.bicrystal import Bicrystal, Side
from gcd_hpc.structures.files import titled

CRYSTAL = "bulk"
GRAINS: tuple[Side, Side] = ("lower", "upper")
REFERENCES = (CRYSTAL, *GRAINS)
"""Names of the folders with references."""
VACUUM = 15.0
"""Empty space above the slab, Å."""
K_SPACING = 0.2
"""Largest distance of k-points along the periodic axes, 1/Å, 2 pi included."""
INCAR = """\
# {purpose}
# ENCUT: set it to 1.3 times the largest ENMAX of your POTCAR, the same in all folders.
SYSTEM = {name}
PREC = Accurate
EDIFF = 1E-6
ISMEAR = 1      # first-order Methfessel-Paxton, for metals; 0 with SIGMA 0.05 for others
SIGMA = 0.2
LREAL = .FALSE. # energies of folders with few and with many atoms are subtracted
{ions}
LWAVE = .FALSE.
LCHARG = .FALSE.
"""
RELAXED = """\
IBRION = 2      # conjugate gradients
ISIF = 2        # the cell is kept
NSW = 200
EDIFFG = -0.02  # until no force exceeds 0.02 eV/A"""
STATIC = """\
IBRION = -1     # no atom moves
NSW = 0"""


def with_held_layers(candidate: RunCandidate, config: str) -> Atoms:
    """The relaxed structure with the outer layers of its relaxation held.

    The layers that relaxations hold at the bottom and move as one body at the top are both held,
    as VASP knows no rigid bodies: the shift of the upper grain stays that of the first engine.

    Args:
        config: attribute of the candidate's file.
    """
    atoms, outer = candidate.to_atoms(), outer_thickness(vars(candidate), config)
    heights = atoms.positions[:, 2]
    held = (heights < heights.min() + outer) | (heights > heights.max() - outer)
    _hold(atoms, held)
    return atoms


def _hold(atoms: Atoms, held: np.ndarray) -> None:
    from ase.constraints import FixAtoms  # takes 0.4 s, and all readers of runs import this module

    atoms.set_constraint(FixAtoms(mask=held))


def write_vasp_inputs(folder: Path, atoms: Atoms, scale: float = 1.0) -> None:
    """Write POSCAR, INCAR and KPOINTS of one structure.

    Args:
        atoms: of ``with_held_layers``.
        scale: factor of all lengths, to the lattice constant of VASP.
    """
    # VASP wants the atoms element by element; otherwise they keep their order.
    order = np.argsort(atoms.numbers, kind="stable")
    slab = Atoms(atoms.numbers[order], scale * atoms.positions[order], cell=scale * atoms.cell)
    held = np.isin(order, atoms.constraints[0].index)
    _write(folder, _in_vacuum(slab), held, atoms.info["title"])
    purpose = "Relaxation of a slab with a grain boundary; POSCAR says which atoms are held."
    _write_incar(folder, purpose, atoms.info["id"], RELAXED)


def write_vasp_references(out: Path, bicrystal: Bicrystal) -> None:
    """Write the folders of the crystal and of a slab of each grain.

    Args:
        bicrystal: of one element, at the lattice constant of the structures.
    """
    crystal = bicrystal.lower.crystal
    sites = np.array(crystal.basis) / crystal.denominator
    cell = Atoms(crystal.numbers, scaled_positions=sites, cell=crystal.matrix, pbc=True)
    _write_static(out, CRYSTAL, cell, "Energy of the crystal.")
    for side in GRAINS:
        positions = grain_slab(bicrystal, side)
        edges = np.zeros((3, 3))
        edges[:2, :2] = bicrystal.cell
        slab = Atoms(bicrystal.elements * len(positions), positions, cell=edges)
        purpose = f"Energy of the surface of the {side} grain."
        _write_static(out, side, _in_vacuum(slab), purpose)


def _write_static(out: Path, name: str, atoms: Atoms, purpose: str) -> None:
    (out / name).mkdir()
    _write(out / name, atoms, np.ones(len(atoms), dtype=bool), f"{name}: a reference")
    _write_incar(out / name, purpose, name, STATIC)


def _in_vacuum(slab: Atoms) -> Atoms:
    """The slab between two halves of the vacuum, in a periodic box."""
    heights = slab.positions[:, 2]
    cell = np.array(slab.cell)
    cell[2] = 0.0, 0.0, np.ptp(heights) + VACUUM
    shifted = slab.positions + np.array([0.0, 0.0, VACUUM / 2 - heights.min()])
    return Atoms(slab.numbers, shifted, cell=cell, pbc=True)


def _write(folder: Path, atoms: Atoms, held: np.ndarray, title: str) -> None:
    """Write POSCAR and KPOINTS; a slab in vacuum has one k-point along its normal."""
    from ase.io import write  # late, as above

    _hold(atoms, held)
    text = StringIO()
    write(text, atoms, format="vasp", direct=False)
    (folder / "POSCAR").write_text(titled(text.getvalue(), title, "poscar"))
    grid = [_num_points(edge) for edge in atoms.cell.reciprocal()]
    if atoms.cell.lengths()[2] > VACUUM:
        grid[2] = 1
    points = ["Gamma-centred", "0", "Gamma", " ".join(map(str, grid)), "0 0 0"]
    (folder / "KPOINTS").write_text("\n".join(points) + "\n")


def _write_incar(folder: Path, purpose: str, name: str, ions: str) -> None:
    (folder / "INCAR").write_text(INCAR.format(purpose=purpose, name=name, ions=ions))


def _num_points(edge: np.ndarray) -> int:
    """Number of k-points along a reciprocal vector, (3,) 1/Å without 2 pi."""
    return max(1, ceil(2 * pi * float(np.linalg.norm(edge)) / K_SPACING))
