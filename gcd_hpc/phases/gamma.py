"""Gamma surfaces: boundary energy against the rigid shift of one grain along the boundary.

docs/phases.md#gamma says what moves at each shift and which shifts repeat.
"""

import json
import shutil
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from math import nan
from pathlib import Path
from typing import Any

import numpy as np

from gcd_hpc.engines.child import Child
from gcd_hpc.engines.shifted import Freedom, relax_at_shift
from gcd_hpc.engines.spreading import spread
from gcd_hpc.errors import SimulationError, StoreError
from gcd_hpc.files import checked_content, write_checked_json
from gcd_hpc.phases.measuring import Progress, check_potential, system_of
from gcd_hpc.phases.phase import Phase
from gcd_hpc.phases.record import MeasuredRecord, arrays_sha256, structure_sha256
from gcd_hpc.phases.shifts import Halves, halves_of, perfect_cut
from gcd_hpc.phases.system import PhaseSystem
from gcd_hpc.store.arrays import read_arrays, write_arrays
from gcd_hpc.store.run_candidate import RunCandidate
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.structures.periodic import Array

KIND = "gamma"
"""Folder of the files in the run."""
CUT = "cut"
"""Name of the two perfect grains in place of a phase's name."""
GRID = (16, 16)
CLEARANCES = (0.8, 0.95)
"""Least distance of atoms of different grains before the relaxation, in nearest-neighbour
distances. The second one is tried where the first leads to no boundary of the crystal.
"""
POINTS_PER_TASK = 8
_ARRAYS = {
    "energies_j_m2": "gb_energy_j_m2",
    "lifts_a": "lift_a",
    "excess_volumes_a": "excess_volume_a",
    "converged": "converged",
}
"""Arrays of a surface by the fields of its points."""


@dataclass(frozen=True)
class Point:
    """The relaxed bicrystal at one shift; energies are NaN where it could not be relaxed.

    lift_a: displacement of the upper grain along z, from where the two parts are at the shift
    (0, 0), Å.
    reason: why it could not be relaxed.
    """

    gb_energy_j_m2: float = nan
    lift_a: float = nan
    excess_volume_a: float = nan
    converged: bool = False
    cpu_s: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class GammaSurface:
    """Energies on a grid of shifts, periodic along both edges of its cell.

    phase: name of the phase that is shifted when it was computed, or ``cut`` for the two perfect
        grains.
    candidate: id of the structure that is shifted; empty for the perfect grains.
    n_fraction: [n] of the phase; 0 of the perfect grains.
    cell: smallest cell in which the shifts repeat, as rows (2, 2) Å.
    energies_j_m2, lifts_a, excess_volumes_a: (X, Y) at the shifts i/X of the first edge plus j/Y of
        the second; NaN where the structure could not be relaxed.
    converged: (X, Y) whether the minimiser met a tolerance.
    failures: reasons by grid point.
    """

    phase: str
    candidate: str
    n_fraction: float
    freedom: Freedom
    cell: Array
    energies_j_m2: Array
    lifts_a: Array
    excess_volumes_a: Array
    converged: np.ndarray
    failures: dict[tuple[int, int], str]

    @property
    def shifts(self) -> Array:
        """Shifts of the upper part, (X, Y, 2) Å."""
        return shifts_of(self.energies_j_m2.shape, self.cell)

    @property
    def lowest(self) -> tuple[int, int]:
        """Grid point of lowest energy."""
        return self._point(np.nanargmin(self.energies_j_m2))

    @property
    def highest(self) -> tuple[int, int]:
        """Grid point of highest energy."""
        return self._point(np.nanargmax(self.energies_j_m2))

    def _point(self, flat: np.integer) -> tuple[int, int]:
        first, second = np.unravel_index(int(flat), self.energies_j_m2.shape)
        return int(first), int(second)


@dataclass(frozen=True)
class _Task:
    """Some grid points of one surface."""

    run: Path
    candidate: RunCandidate | None
    grid: tuple[int, int]
    freedom: Freedom
    folder: Path
    points: list[tuple[int, int]]


def shifts_of(grid: tuple[int, ...], cell: Array) -> Array:
    """Shifts (X, Y, 2) Å of a grid over a cell (2, 2)."""
    steps = np.meshgrid(*(np.arange(num) / num for num in grid), indexing="ij")
    return np.asarray(np.stack(steps, axis=-1) @ cell)


def gamma_surface(
    run: Path,
    phase: Phase | None = None,
    grid: tuple[int, int] = GRID,
    freedom: Freedom = "normal",
    workers: int = 1,
    progress: Progress = lambda num, total, name: None,
) -> GammaSurface:
    """Compute a gamma surface and store it in the run; read it if it was computed before.

    A killed computation continues with the points that are missing.

    Args:
        run: run directory.
        phase: whose relaxed structure is shifted; None for two perfect grains.
        grid: number of shifts along the two edges of their cell.
        workers: number of processes, each with an engine of its own. Results do not depend on it.
        progress: called with the number of points.

    Raises:
        StoreError: if the run has no campaign, or if no shift leads to a boundary of the crystal.
        GcdError: if the engine cannot be used.
    """
    system, candidate = system_of(run), None if phase is None else phase.representative
    if candidate is not None:
        check_potential(run, candidate, system)
    files, halves = RunDirectory(run), _halves(system, candidate)
    name = CUT if phase is None else phase.file_name
    record = _unfinished(system, phase, halves, grid, freedom)
    known = MeasuredRecord.read(files.measured(KIND, name))
    if known is not None and known.question == record.question:
        return read_surface(run, name)
    folder = files.measuring(KIND, name, record.question)
    # What an earlier start has finished is read; the rest is shared out in small parts.
    every = [(i, j) for i in range(grid[0]) for j in range(grid[1])]
    missing = [one for one in every if _read_point(folder, one) is None]
    tasks = [
        _Task(run, candidate, grid, freedom, folder, missing[first : first + POINTS_PER_TASK])
        for first in range(0, len(missing), POINTS_PER_TASK)
    ]
    num_done = len(every) - len(missing)
    progress(num_done, len(every), record.phase)
    what = f"measured a phase of {run}"
    for task, _ in spread(tasks, _relax_points, min(workers, len(tasks)), what):
        num_done += len(task.points)
        progress(num_done, len(every), record.phase)
    points = {place: point for place in every if (point := _read_point(folder, place))}
    if len(points) < len(every):
        raise StoreError(
            f"{folder}: files of {len(every) - len(points)} shifts are missing or damaged; run the"
            " same command again"
        )
    _write(files, name, record, halves.period, grid, points)
    shutil.rmtree(folder, ignore_errors=True)
    return read_surface(run, name)


def read_surface(run: Path, name: str = CUT) -> GammaSurface:
    """Gamma surface of a run.

    Args:
        name: of the phase, as ``Phase.name`` or ``Phase.file_name``, or ``cut``.

    Raises:
        StoreError: if there is none, or if its files are damaged.
    """
    files, name = RunDirectory(run), name.replace("/", "of")
    path = files.measured(KIND, name)
    record = MeasuredRecord.read(path)
    if record is None:
        which = "" if name == CUT else f" --phase {name}"
        raise StoreError(f"{path}: there is no such surface; gcd-hpc gamma {run}{which} makes it")
    results, arrays = record.results, read_arrays(files.measured_arrays(KIND, name))
    failures = {
        (int(i), int(j)): reason
        for words, reason in results["failures"].items()
        for i, j in [words.split(",")]
    }
    return GammaSurface(
        record.phase,
        record.candidate,
        results["n_fraction"],
        record.settings["freedom"],
        np.array(results["cell_a"]),
        arrays["energies_j_m2"],
        arrays["lifts_a"],
        arrays["excess_volumes_a"],
        arrays["converged"].astype(bool),
        failures,
    )


def surfaces_of(run: Path) -> list[str]:
    """File names of the surfaces that a run has, that of the perfect grains first."""
    names = sorted(one.stem for one in RunDirectory(run).measured(KIND, CUT).parent.glob("*.json"))
    return sorted(names, key=lambda name: name != CUT)


def relaxed_at(
    child: Child, system: PhaseSystem, halves: Halves, shift: Array, freedom: Freedom
) -> Point:
    """The bicrystal relaxed at one shift (2,) Å, or the reason why that is not possible."""
    point, cpu_s = Point(), 0.0
    for clearance in CLEARANCES:
        atoms, lift = halves.shifted(shift, clearance * system.bicrystal.nearest_neighbor)
        try:
            relaxed = relax_at_shift(
                *(child, atoms, system.bicrystal, system.bulk, system.config.relaxation), freedom
            )
        except SimulationError as error:
            point = Point(reason=str(error), cpu_s=cpu_s)
            continue
        return Point(
            relaxed.gb_energy_j_m2,
            lift + float(relaxed.shift[2]),
            relaxed.excess_volume,
            relaxed.converged,
            cpu_s + relaxed.cpu_s,
        )
    return point


def _halves(system: PhaseSystem, candidate: RunCandidate | None) -> Halves:
    return perfect_cut(system.frame) if candidate is None else halves_of(candidate, system.frame)


def _relax_points(task: _Task) -> None:
    """Relax the points of a task and write one file for each."""
    system = system_of(task.run)
    halves = _halves(system, task.candidate)
    shifts = shifts_of(task.grid, halves.period)
    with Child(system.potential, system.config.relaxation.timeout_s) as child:
        for place in task.points:
            point = relaxed_at(child, system, halves, shifts[place], task.freedom)
            # JSON has no NaN, which is what the fields of a failure have.
            known = (
                {"reason": point.reason, "cpu_s": point.cpu_s} if point.reason else asdict(point)
            )
            write_checked_json(_point_file(task.folder, place), known)


def _point_file(folder: Path, place: tuple[int, int]) -> Path:
    return folder / f"{place[0]}-{place[1]}.json"


def _read_point(folder: Path, place: tuple[int, int]) -> Point | None:
    """A finished point; None if it is missing or its file is damaged."""
    try:
        content = checked_content(json.loads(_point_file(folder, place).read_text()))
        return None if content is None else Point(**content)
    except (OSError, ValueError, TypeError):
        return None


def _unfinished(
    system: PhaseSystem,
    phase: Phase | None,
    halves: Halves,
    grid: tuple[int, int],
    freedom: Freedom,
) -> MeasuredRecord:
    """Record of a surface without its results."""
    if phase is None:
        sites = halves.lower.and_also(halves.upper)
        structure = arrays_sha256(sites.positions, halves.cell, sites.numbers)
    else:
        structure = structure_sha256(phase.representative)
    settings = {
        "grid": list(grid),
        "freedom": freedom,
        "preset": system.config.relaxation.preset,
        "outer_thickness_a": system.outer,
        "clearances": list(CLEARANCES),
    }
    return MeasuredRecord(
        kind=KIND,
        phase=CUT if phase is None else phase.name,
        candidate="" if phase is None else phase.representative.id,
        structure_sha256=structure,
        potential_sha256=system.potential.sha256,
        settings=settings,
        version=version("gcd-hpc"),
        date="",
        cpu_s=0.0,
        results={"n_fraction": 0.0 if phase is None else phase.n_fraction},
    )


def _write(
    files: RunDirectory,
    name: str,
    record: MeasuredRecord,
    cell: Array,
    grid: tuple[int, int],
    points: dict[tuple[int, int], Point],
) -> None:
    """Write the arrays of a surface and its record.

    Raises:
        StoreError: if no point could be relaxed.
    """
    arrays = {
        name: np.array([getattr(one, field) for one in points.values()]).reshape(grid)
        for name, field in _ARRAYS.items()
    }
    energies = arrays["energies_j_m2"]
    failures = {f"{i},{j}": one.reason for (i, j), one in points.items() if one.reason}
    if not np.isfinite(energies).any():
        raise StoreError(
            f"{files.path}: no shift of {record.phase} leads to a boundary of the crystal; the"
            f" first one says: {next(iter(failures.values()))}"
        )
    lowest = np.unravel_index(int(np.nanargmin(energies)), grid)
    results: dict[str, Any] = {
        "cell_a": cell.tolist(),
        "lowest_j_m2": float(np.nanmin(energies)),
        "highest_j_m2": float(np.nanmax(energies)),
        "lowest_shift_a": shifts_of(grid, cell)[lowest].tolist(),
        "failures": failures,
    }
    # An older record must not stand beside the new arrays.
    files.measured(KIND, name).unlink(missing_ok=True)
    write_arrays(files.measured_arrays(KIND, name), arrays)
    record.model_copy(
        update={
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "cpu_s": sum(one.cpu_s for one in points.values()),
            "results": record.results | results,
        }
    ).write(files.measured(KIND, name))
