"""Finished runs of VASP in the folders that ``vasp`` writes, read by ASE and checked."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.geometry import find_mic
from numpy.typing import ArrayLike

from gcd_hpc.errors import StoreError, StructureError, reason_of
from gcd_hpc.store.run_candidate import TITLE
from gcd_hpc.store.vasp import REFERENCES
from gcd_hpc.structures.text_formats import parse

LEAST_VOLUME = 1e-3
"""Volume of a cell below which it is none, Å^3."""
SAME_CELL = 1e-4
"""Largest relative difference of cells that count as the same."""
STILL = 0.01
"""Largest displacement of a held atom, Å: the files round positions."""
SETTINGS = ("ENCUT", "ENAUG", "PREC", "ISMEAR", "SIGMA", "LREAL", "ISPIN", "GGA", "METAGGA", "IVDW")
"""Keys of INCAR on which total energies depend."""
_OTHER_ATOMS = "{}: has other atoms than POSCAR; run VASP there again"
_NUMBER = re.compile(r"^\s*(NSW|NELM|EDIFFG)\s*=\s*([-+.\dE]+)")


@dataclass(frozen=True)
class VaspResult:
    """Result of one folder.

    atoms: last structure, (N,) atoms in the order of POSCAR, with the held ones as constraint.
    id, potential: what the first line of POSCAR says; empty in folders of references.
    energy_ev: total energy extrapolated to no smearing.
    max_force: largest force component on an atom that is not held, eV/Å.
    num_steps: ionic steps.
    settings: those of INCAR on which energies depend.
    """

    folder: Path
    atoms: Atoms
    id: str
    potential: str
    """Beginning of its hash, or ?."""
    energy_ev: float
    max_force: float
    num_steps: int
    settings: dict[str, str]


@dataclass
class _Log:
    """What the output says of the progress of a run."""

    path: Path
    is_finished: bool = False
    has_electrons: bool = False
    """Whether the electrons of the last step converged."""
    num_steps: int = 0
    nsw: int = 0
    ediffg: float = 0.0
    num_declared: int | None = None
    """Number of atoms that OUTCAR declares."""


def structure_folders(root: Path) -> list[Path]:
    """Folders of the structures of an export, or the one folder itself if it is one.

    Raises:
        StoreError: if there are none.
    """
    if (root / "POSCAR").is_file():
        return [root]
    found = [path.parent for path in sorted(root.glob("*/POSCAR"))]
    chosen = [path for path in found if path.name not in REFERENCES]
    if not chosen:
        raise StoreError(
            f"{root}: there are no folders with a POSCAR to import; name the folder that gcd-hpc"
            " export --format vasp wrote"
        )
    return chosen


def read_result(folder: Path) -> VaspResult:
    """Read a finished run of VASP from ``vasprun.xml``, or from ``OUTCAR`` if there is none.

    Raises:
        StoreError: if a file is missing or cannot be read, or if the run was not finished, did not
            converge, or moved what is held.
    """
    given, title = _given(folder)
    log, last = _output(folder, len(given))
    _check_converged(folder, log)
    if not np.array_equal(last.numbers, given.numbers):
        raise StoreError(_OTHER_ATOMS.format(log.path))
    if not np.allclose(last.cell, given.cell, rtol=0, atol=SAME_CELL * given.cell.lengths().min()):
        raise StoreError(
            f"{log.path}: the cell is no longer that of POSCAR, so that the held layers are"
            " strained; keep ISIF = 2"
        )
    held = np.zeros(len(given), dtype=bool)
    for constraint in given.constraints:
        held[constraint.get_indices()] = True
    _, moved = find_mic(last.positions - given.positions, given.cell)
    if moved[held].max(initial=0.0) > STILL:
        raise StoreError(
            f"{log.path}: atoms moved that POSCAR holds, so that the surfaces are not those of the"
            " references; keep the selective dynamics of POSCAR"
        )
    forces = last.get_forces(apply_constraint=False)[~held]
    _check_relaxed(folder, log, forces)
    last.set_constraint(given.constraints)
    return VaspResult(
        folder=folder,
        atoms=last,
        id=title.group(1) if title else "",
        potential=title.group(2) if title else "",
        energy_ev=float(last.get_potential_energy()),
        max_force=float(np.abs(forces).max(initial=0.0)),
        num_steps=log.num_steps,
        settings=_settings(folder / "INCAR"),
    )


def _given(folder: Path) -> tuple[Atoms, re.Match[str] | None]:
    """The structure of POSCAR, and what its first line says."""
    path = folder / "POSCAR"
    try:
        text = path.read_text()
        first = text.splitlines()[0]
        # Not by ASE, which believes a file that declares more atoms than it holds.
        (atoms,) = parse(text, "poscar", ())
        _check_finite(atoms.positions, atoms.cell.array)
        if abs(np.linalg.det(atoms.cell.array)) < LEAST_VOLUME:
            raise ValueError("its cell has no volume")
    except (OSError, ValueError, IndexError, StructureError) as error:
        raise _unreadable(path, error, "gcd-hpc export writes it again") from error
    title = TITLE.match(first)
    if title is None and folder.name not in REFERENCES:
        raise StoreError(
            f"{path}: its first line names no structure of a run; keep the line that gcd-hpc export"
            " wrote"
        )
    return atoms, title


def _output(folder: Path, num_atoms: int) -> tuple[_Log, Atoms]:
    """What VASP wrote: its progress, and the last structure with energy and forces.

    Args:
        num_atoms: of POSCAR. An output that declares another number is not read.
    """
    for name, form, scan in (
        ("vasprun.xml", "vasp-xml", _scan_xml),
        ("OUTCAR", "vasp-out", _scan_text),
    ):
        path = folder / name
        if not path.is_file():
            continue
        try:
            log = scan(path)
            if not log.is_finished:
                raise StoreError(
                    f"{path}: the run of VASP is not finished; import it when it is, or name the"
                    " folders that are"
                )
            if log.num_declared not in (None, num_atoms):
                raise StoreError(_OTHER_ATOMS.format(path))
            last = ase.io.read(path, format=form, index=-1)
            assert isinstance(last, Atoms)
            if last.calc is None or "forces" not in last.calc.results:
                raise ValueError("its last step has no energy and forces")
            forces = last.get_forces(apply_constraint=False)
            _check_finite(last.positions, forces, last.get_potential_energy())
        except StoreError:
            raise
        except Exception as error:  # ASE's readers fail on damaged files in every way
            raise _unreadable(path, error) from error
        return log, last
    raise StoreError(
        f"{folder}: there is neither vasprun.xml nor OUTCAR; run VASP there, or name the folders"
        " where it has run"
    )


def _check_finite(*values: ArrayLike) -> None:
    if not all(np.isfinite(one).all() for one in values):
        raise ValueError("a number in it is not finite")


def _unreadable(path: Path, error: Exception, cure: str = "run VASP there again") -> StoreError:
    return StoreError(f"{path}: cannot be read: {reason_of(error)}; {cure}")


def _scan_xml(path: Path) -> _Log:
    log = _Log(path)
    num_electronic, nelm = 0, 60
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if "<calculation>" in line:
                log.num_steps, num_electronic = log.num_steps + 1, 0
            elif "<scstep>" in line:
                num_electronic += 1
            elif "</modeling>" in line:
                log.is_finished = True
            # The section of all parameters comes after that of INCAR and overrides it.
            elif found := re.search(r'name="(NSW|NELM|EDIFFG)">\s*(\S+)\s*</i>', line):
                nelm = _take(log, found, nelm)
    log.has_electrons = 0 < num_electronic < nelm
    return log


def _scan_text(path: Path) -> _Log:
    log = _Log(path)
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if "aborting loop because EDIFF is reached" in line:
                log.has_electrons = True
            elif " Iteration " in line:
                log.has_electrons = False  # the line above follows the last iteration of a step
            elif "FREE ENERGIE OF THE ION-ELECTRON SYSTEM" in line:
                log.num_steps += 1
            elif "General timing and accounting" in line:
                log.is_finished = True
            elif "ions per type =" in line:
                counts = line.partition("=")[2].split()
                log.num_declared = sum(int(count) for count in counts)
            elif found := _NUMBER.match(line):
                _take(log, found, 0)
    return log


def _take(log: _Log, found: re.Match[str], nelm: int) -> int:
    """Keep one number of the output; return NELM."""
    name, value = found.groups()
    if name == "EDIFFG":
        log.ediffg = float(value)
    elif name == "NSW":
        log.nsw = int(float(value))
    else:
        return int(float(value))
    return nelm


def _check_converged(folder: Path, log: _Log) -> None:
    if not log.has_electrons:
        raise StoreError(
            f"{log.path}: the electrons of the last step did not converge; raise NELM in"
            f" {folder / 'INCAR'} and run VASP again from CONTCAR"
        )


def _check_relaxed(folder: Path, log: _Log, forces: np.ndarray) -> None:
    """Refuse a relaxation that stopped too early.

    Args:
        forces: on the atoms that are not held, (M, 3) eV/Å.
    """
    largest = float(np.linalg.norm(forces, axis=1).max(initial=0.0))
    if log.ediffg < 0:
        is_relaxed, why = largest <= -log.ediffg, f"a force of {largest:.3f} eV/Å remains"
    else:
        is_relaxed = not len(forces) or log.num_steps < log.nsw
        why = f"all {log.nsw} steps were used"
    if len(forces) and not is_relaxed:
        raise StoreError(
            f"{log.path}: the atoms are not relaxed: {why}; copy CONTCAR to POSCAR with the first"
            f" line of POSCAR, and run VASP again in {folder}"
        )


def _settings(path: Path) -> dict[str, str]:
    """Settings of INCAR on which energies depend, in capitals."""
    try:
        text = path.read_text(errors="replace")
    except OSError as error:
        raise _unreadable(path, error) from error
    return {key: value for key, value in _assignments(text) if key in SETTINGS}


def _assignments(text: str) -> Iterator[tuple[str, str]]:
    for line in text.upper().splitlines():
        for piece in re.split("[#!]", line)[0].split(";"):
            key, _, value = piece.partition("=")
            yield key.strip(), _plain(value.strip())


def _plain(value: str) -> str:
    """The same text for the same number or truth value."""
    if value.strip(".") in ("T", "TRUE", "F", "FALSE"):
        return value.strip(".")[0]
    try:
        return f"{float(value):g}"
    except ValueError:
        return value


def check_settings(result: VaspResult, reference: VaspResult) -> None:
    """Refuse a folder that was computed with other settings than a reference.

    Raises:
        StoreError: if one of the settings on which energies depend differs.
    """
    for key in SETTINGS:
        own, other = (one.settings.get(key, "not set") for one in (result, reference))
        if own != other:
            raise StoreError(
                f"{result.folder / 'INCAR'}: {key} is {own}, but {other} in"
                f" {reference.folder / 'INCAR'}, so that their energies cannot be subtracted; run"
                " VASP with the same settings in all folders"
            )
