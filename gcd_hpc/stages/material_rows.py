"""Rows of a material's campaign: relaxed structures, and the results of their tasks."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from math import isfinite
from pathlib import Path

import numpy as np

from gcd_hpc.engines.child import LammpsChild
from gcd_hpc.engines.jobs import QuenchResult
from gcd_hpc.engines.quench import check_converged
from gcd_hpc.errors import SimulationError
from gcd_hpc.learning.material import MaterialSystem
from gcd_hpc.processor import processor_s
from gcd_hpc.stages.quarantine import NOT_THE_CANDIDATES_FAULT
from gcd_hpc.stages.relaxing import kept_child, mark_as_bug
from gcd_hpc.stages.result import StageResult, tallies
from gcd_hpc.store.materials import GUIDED_ORDER
from gcd_hpc.store.schema import Candidate
from gcd_hpc.structures.energetics import closest_pair


def material_child(system: MaterialSystem) -> LammpsChild:
    """LAMMPS process of this worker, kept for all its chunks and ended with this process."""
    return kept_child(LammpsChild, system.potential, system.config.relaxation.timeout_s)


def relaxed_row(
    system: MaterialSystem, row: Candidate, run_dir: Path, relax: Callable[[], QuenchResult]
) -> Candidate:
    """The row with what a relaxation found, or as failed with the reason.

    A relaxation that has not converged, an energy that is not finite, and two atoms that coincide
    are failures. A bug sets the structure aside in the run's quarantine.

    Raises:
        GcdError, OSError, MemoryError: for errors that other structures would meet too.
    """
    started, before_s = time.perf_counter(), processor_s()
    try:
        done = _with_result(system, row, relax())
    except SimulationError as error:
        done = replace(row, status="failed", failure="physics", reason=str(error))
    except NOT_THE_CANDIDATES_FAULT:
        raise
    except Exception as error:
        atoms = system.atoms(row, row.unrelaxed_positions)
        done = mark_as_bug(run_dir, row, error, atoms)
    cpu_s = max(0.0, processor_s() - before_s)
    return replace(done, relax_s=time.perf_counter() - started, cpu_s=cpu_s)


def _with_result(system: MaterialSystem, row: Candidate, result: QuenchResult) -> Candidate:
    """The row of a sound result.

    Raises:
        SimulationError: if it is not sound.
    """
    relaxation = system.config.relaxation
    check_converged(result, system.minimizer, "the relaxed structure")
    energy = float(np.mean(result.energies))
    if not isfinite(energy) or not np.isfinite(result.positions).all():
        raise SimulationError("the relaxed structure has an energy or a position that is no number")
    distance = closest_pair(result.positions, row.cell, (True, True, True))
    if distance < relaxation.min_distance_a:
        raise SimulationError(
            f"two atoms of the relaxed structure are {distance:.2f} Å apart, nearer than"
            f" relaxation.min_distance_a, {relaxation.min_distance_a:g} Å"
        )
    return replace(
        row,
        status="ok",
        positions=result.positions,
        energies_ev=result.energies,
        energy_ev_atom=energy,
        energies_from="atoms",
        converged=True,
        stop_reason=result.stop_reason,
        max_force_ev_a=float(np.abs(result.forces).max()),
    )


def rows_result(rows: Sequence[Candidate], seconds: float) -> StageResult:
    """Result of a chunk: counts, and the smallest spectrum error of each kind of sample."""
    counts = Counter(row.status for row in rows)
    return StageResult(
        num=len(rows),
        ok=sum(counts[status] for status in ("ok", "sampled")),
        failed=counts["failed"],
        quarantined=sum(row.failure == "bug" for row in rows),
        seconds=seconds,
        best=_smallest(rows),
        sources=tallies(rows, _smallest),
    )


def _smallest(rows: Iterable[Candidate]) -> dict[int, float]:
    """Smallest spectrum error by the number of the kind of sample in ``GUIDED_ORDER``."""
    best: dict[int, float] = {}
    for row in rows:
        if row.status == "ok" and isfinite(row.spectrum_error):
            group = GUIDED_ORDER.index(row.guided)
            best[group] = min(best.get(group, row.spectrum_error), row.spectrum_error)
    return best
