"""Input folders of VASP for the structures of a run, without POTCAR, which needs a licence."""

from io import StringIO
from math import ceil, pi
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms

from gcd_hpc.config.simulation import outer_layers

VACUUM = 15.0
"""Empty space above the slab, Å."""
K_SPACING = 0.2
"""Largest distance of k-points in the boundary plane, 1/Å, 2 pi included."""
INCAR = """\
# Relaxation of a slab with a grain boundary; POSCAR says which atoms are held.
# ENCUT: set it to 1.3 times the largest ENMAX of your POTCAR, the same in all folders.
SYSTEM = {name}
PREC = Accurate
EDIFF = 1E-6
ISMEAR = 1      # first-order Methfessel-Paxton, for metals; 0 with SIGMA 0.05 for others
SIGMA = 0.2
LREAL = Auto
IBRION = 2      # conjugate gradients
ISIF = 2        # the cell is kept
NSW = 200
EDIFFG = -0.02  # until no force exceeds 0.02 eV/A
LWAVE = .FALSE.
LCHARG = .FALSE.
"""


def write_vasp_inputs(folder: Path, atoms: Atoms) -> None:
    """Write POSCAR, INCAR and KPOINTS of one structure.

    The layers that relaxations hold at the bottom and move as one body at the top are both held,
    as VASP knows no rigid bodies: the shift of the upper grain stays that of the first engine.

    Args:
        atoms: a candidate's ``to_atoms``, with its fields in ``info``.
    """
    info = atoms.info
    # VASP wants the atoms element by element; otherwise they keep their order.
    order = np.argsort(atoms.numbers, kind="stable")
    slab = Atoms(atoms.numbers[order], atoms.positions[order], cell=atoms.cell, pbc=True)
    heights = slab.positions[:, 2]
    outer = outer_layers("auto", float(info.get("surface_depth_a", 0.0)))
    held = (heights < heights.min() + outer) | (heights > heights.max() - outer)
    slab.positions[:, 2] += VACUUM / 2 - heights.min()
    cell = np.array(slab.cell)
    cell[2, 2] = np.ptp(heights) + VACUUM
    slab.set_cell(cell)
    slab.set_constraint(FixAtoms(mask=held))
    title = (
        f"{info['id']}: E_gb {info['gb_energy_j_m2']:.4f} J/m^2, [n] {info['n_fraction']:.4g},"
        f" potential {str(info.get('potential_sha256', 'unknown'))[:12]}"
    )
    text = StringIO()
    ase.io.write(text, slab, format="vasp", direct=False)
    _, *lines = text.getvalue().splitlines()
    (folder / "POSCAR").write_text("\n".join([title, *lines]) + "\n")
    (folder / "INCAR").write_text(INCAR.format(name=info["id"]))
    grid = [_num_points(edge) for edge in slab.cell.reciprocal()[:2]]
    points = ["Gamma-centred, one point along the normal", "0", "Gamma", f"{grid[0]} {grid[1]} 1"]
    (folder / "KPOINTS").write_text("\n".join([*points, "0 0 0"]) + "\n")


def _num_points(edge: np.ndarray) -> int:
    """Number of k-points along a reciprocal vector, (3,) 1/Å without 2 pi."""
    return max(1, ceil(2 * pi * float(np.linalg.norm(edge)) / K_SPACING))
