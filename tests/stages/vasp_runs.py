"""Runs of VASP whose energies and forces are those of ASE's EMT, in the files that VASP writes."""

from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.emt import EMT
from ase.optimize import LBFGS

LIMIT = 0.02
"""EDIFFG of the relaxations, eV/Å."""


def run_vasp(folder: Path, zero_ev: float, form: str = "vasprun.xml") -> Atoms:
    """Do in a folder what its INCAR asks of VASP; return the last structure with EMT's results.

    Args:
        zero_ev: EMT's energy of a free atom, to which the written energies are relative.
    """
    atoms = ase.io.read(folder / "POSCAR", format="vasp")
    assert isinstance(atoms, Atoms)
    atoms.calc = EMT()
    if "IBRION = 2" in (folder / "INCAR").read_text():
        LBFGS(atoms, logfile=None).run(fmax=0.9 * LIMIT, steps=300)
    write = {"vasprun.xml": vasprun, "OUTCAR": outcar}[form]
    (folder / form).write_text(write(atoms, atoms.get_potential_energy() - len(atoms) * zero_ev))
    return atoms


def _rows(tag: str, name: str, values: np.ndarray) -> str:
    rows = "".join(f"<v> {x:.8f} {y:.8f} {z:.8f} </v>\n" for x, y, z in values)
    return f'<{tag} name="{name}">\n{rows}</{tag}>\n'


def vasprun(atoms: Atoms, energy: float) -> str:
    """The parts of vasprun.xml that say what was computed, one step of it."""
    symbols = "".join(f"<rc><c>{one}</c><c>1</c></rc>\n" for one in atoms.symbols)
    structure = (
        "<crystal>\n"
        + _rows("varray", "basis", np.array(atoms.cell))
        + "</crystal>\n"
        + _rows("varray", "positions", atoms.get_scaled_positions())
        + "</structure>\n"
    )
    energies = (
        f'<i name="e_fr_energy"> {energy:.8f} </i>\n<i name="e_0_energy"> {energy:.8f} </i>\n'
    )
    return (
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<modeling>\n<kpoints>\n'
        + _rows("varray", "kpointlist", np.zeros((1, 3)))
        + '<varray name="weights">\n<v> 1.0 </v>\n</varray>\n</kpoints>\n<parameters>\n'
        + '<i type="int" name="NELM">    60</i>\n<i type="int" name="NSW">   200</i>\n'
        + f'<i name="EDIFFG">     -{LIMIT}</i>\n</parameters>\n'
        + f'<atominfo>\n<array name="atoms">\n<set>\n{symbols}</set>\n</array>\n</atominfo>\n'
        + f'<structure name="initialpos">\n{structure}'
        + f"<calculation>\n<scstep>\n<energy>\n{energies}</energy>\n</scstep>\n<structure>\n"
        + structure
        + _rows("varray", "forces", atoms.get_forces(apply_constraint=False))
        + f"<energy>\n{energies}</energy>\n</calculation>\n</modeling>\n"
    )


def outcar(atoms: Atoms, energy: float) -> str:
    """The parts of OUTCAR that say what was computed, one step of it."""
    places = np.hstack([atoms.positions, atoms.get_forces(apply_constraint=False)])
    table = "".join(" ".join(f"{one:12.5f}" for one in row) + "\n" for row in places)
    cell = "".join(" ".join(f"{one:.9f}" for one in [*row, 0, 0, 0]) + "\n" for row in atoms.cell)
    return (
        2 * " POTCAR:    PAW_PBE Cu 22Jun2005\n"
        + f"   ions per type =            {len(atoms)}\n   ISPIN  =      1    spin polarized\n"
        + f"   NELM   =     60;   NELMIN=  2\n   EDIFFG = -{LIMIT}\n   NSW    =    200\n"
        + "   k-points           NKPTS =      1   k-points in BZ     NKDIM =      1   NBANDS=  9\n"
        + " k-points in reciprocal lattice and weights: Gamma\n   0.0 0.0 0.0      1.000\n"
        + "------- Iteration      1(   1)  -------\n"
        + "------------------------ aborting loop because EDIFF is reached ----\n"
        + f"      direct lattice vectors      reciprocal lattice vectors\n{cell}"
        + " POSITION                                       TOTAL-FORCE (eV/Angst)\n ------\n"
        + f"{table} ------\n  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)\n  ------\n"
        + f"  free  energy   TOTEN  =     {energy:.8f} eV\n\n"
        + f"  energy  without entropy= {energy:.8f}  energy(sigma->0) = {energy:.8f}\n"
        + " General timing and accounting informations for this job:\n"
    )
