"""Relaxation of structures into rows with energies or failures, for the search and candidates."""

import atexit
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from ase import Atoms

from gcd_hpc.engines.child import Child
from gcd_hpc.engines.engine import Engine
from gcd_hpc.engines.jobs import Anneal
from gcd_hpc.engines.local import Origin
from gcd_hpc.engines.relaxation import Relaxed, relax_boundary
from gcd_hpc.errors import SimulationError
from gcd_hpc.learning.boundary import BoundarySystem, load_boundary_system
from gcd_hpc.learning.candidates import unrelaxed_atoms
from gcd_hpc.processor import processor_s
from gcd_hpc.stages.quarantine import NOT_THE_CANDIDATES_FAULT, set_aside
from gcd_hpc.stages.record import Begun
from gcd_hpc.stages.result import StageResult, relaxed_result
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.schema import Candidate

AnyChild = TypeVar("AnyChild", bound=Child)


def worker_child(run_dir: str) -> Child:
    """LAMMPS process of this worker, kept for all its chunks and ended with this process.

    The boundaries of a set share it, for they have one potential.
    """
    system = load_boundary_system(run_dir)
    return kept_child(Child, system.potential, system.config.relaxation.timeout_s)


def kept_child(kind: type[AnyChild], potential: Engine, timeout_s: float) -> AnyChild:
    """Child of a kind and a potential, which all tasks of this worker share."""
    key = (kind, potential.sha256, timeout_s)
    if key not in _CHILDREN:
        child = kind(potential, timeout_s)
        atexit.register(child.close)
        _CHILDREN[key] = child
    return cast(AnyChild, _CHILDREN[key])


_CHILDREN: dict[tuple[type[Child], str, float], Child] = {}
"""Processes of this worker, by kind, hash of their potential and time limit."""


class ScreenWindow:
    """Energy window that selects screened structures for the tight preset, by [n].

    Args:
        lowest: lowest energies known beforehand, J/m^2 by n_index.
    """

    def __init__(self, window_j_m2: float, lowest: Mapping[int, float]) -> None:
        self.window_j_m2 = window_j_m2
        self.lowest = dict(lowest)

    def __call__(self, n_index: int, energy_j_m2: float) -> bool:
        return energy_j_m2 <= self.lowest.get(n_index, np.inf) + self.window_j_m2

    def wider(self, allowance_j_m2: float) -> "ScreenWindow":
        """This window for structures that may have so much more energy, J/m^2.

        Both learn the same reference energies.
        """
        other = ScreenWindow(self.window_j_m2 + allowance_j_m2, {})
        other.lowest = self.lowest
        return other

    def learn(self, n_index: int, energy_j_m2: float) -> None:
        """Lower the window's reference energy after a relaxation in the same chunk."""
        self.lowest[n_index] = min(self.lowest.get(n_index, np.inf), energy_j_m2)


def write_relaxed(
    begun: Begun,
    part: Path,
    rows: Sequence[Candidate],
    system: BoundarySystem,
    lowest: Mapping[int, float],
) -> StageResult:
    """Write the part file of a chunk of relaxed candidates; return the result of its task.

    Args:
        lowest: lowest E_gb known, this chunk included, J/m^2 by n_index.

    Raises:
        RunDirectoryError: if the folder cannot be written to or the disk is full.
    """
    config, planes = system.config, system.bicrystal.atoms_per_plane
    window_j_m2 = config.selection.energy_window_j_m2
    result = relaxed_result(rows, planes, begun.seconds(), window_j_m2, lowest)
    return begun.write(part, rows, config, result)


def relax_candidate(
    system: BoundarySystem,
    child: Child,
    candidate: Candidate,
    window: ScreenWindow,
    anneal: Anneal | None = None,
    run_dir: Path | None = None,
    origin: Origin | None = None,
    quick: bool = False,
) -> Candidate:
    """Relax a candidate; return it with positions and energies, or as failed with the reason.

    Args:
        run_dir: run that keeps a candidate on which a bug occurred; if None, the error is raised.
        origin: relaxed structure that a local move made the candidate of, if any.
        quick: as for ``relax_boundary``.

    Raises:
        GcdError, OSError, MemoryError: for errors that other candidates would meet too.
    """
    started, before_s = time.perf_counter(), processor_s()
    atoms = unrelaxed_atoms(system, candidate)
    try:
        row = _relaxed(system, child, candidate, atoms, window, anneal, origin, quick)
    except SimulationError as error:
        row = replace(
            candidate,
            status="failed",
            failure="physics",
            reason=str(error),
            atom_evaluations=error.atom_evaluations,
        )
    except NOT_THE_CANDIDATES_FAULT:
        raise
    except Exception as error:
        if run_dir is None:
            raise
        row = mark_as_bug(run_dir, candidate, error, atoms)
    return replace(
        row, relax_s=time.perf_counter() - started, cpu_s=max(0.0, processor_s() - before_s)
    )


def _relaxed(
    system: BoundarySystem,
    child: Child,
    candidate: Candidate,
    atoms: Atoms,
    window: ScreenWindow,
    anneal: Anneal | None,
    origin: Origin | None,
    quick: bool,
) -> Candidate:
    config = system.config.relaxation
    finish = window if config.screen else True
    relaxed = relax_boundary(
        child, atoms, system.bicrystal, system.bulk, config, finish, anneal, origin, quick
    )
    window.learn(relaxed.n_index, relaxed.gb_energy_j_m2)
    return replace(
        candidate,
        status="ok",
        registry_relaxed=system.frame.reduced(np.asarray(candidate.registry) + relaxed.shift),
        screen_gb_energy_j_m2=relaxed.screen_gb_energy_j_m2,
        cell=system.frame.edges_around(candidate.unrelaxed_positions, relaxed.positions),
        **relaxed_fields(relaxed),
    )


def relaxed_fields(relaxed: Relaxed) -> dict[str, Any]:
    """What a relaxation found, by the names of the fields of a candidate."""
    own, rich, poor = relaxed.composition_energies_j_m2
    return {
        "n_index": relaxed.n_index,
        "n_fraction": relaxed.n_fraction,
        "gb_energy_j_m2": relaxed.gb_energy_j_m2,
        "composition_energy_j_m2": own,
        "rich_gb_energy_j_m2": relaxed.gb_energy_j_m2 - own + rich,
        "poor_gb_energy_j_m2": relaxed.gb_energy_j_m2 - own + poor,
        "excess_volume_a": relaxed.excess_volume,
        "strain_energy_j_m2": relaxed.strain_energy_j_m2,
        "strain_volume_a": relaxed.strain_volume,
        "preset": relaxed.preset,
        "energies_from": relaxed.energies_from,
        "converged": relaxed.converged,
        "stop_reason": relaxed.stop_reason,
        "evaluations": relaxed.evaluations,
        "atom_evaluations": relaxed.atom_evaluations,
        "max_force_ev_a": relaxed.max_force,
        "positions": relaxed.positions,
        "energies_ev": relaxed.energies,
    }


def mark_as_bug(
    run_dir: Path, candidate: Candidate, error: Exception, atoms: Atoms | None = None
) -> Candidate:
    """Mark a candidate as failed because of a bug, and set it aside.

    Raises:
        RunDirectoryError: if the run directory cannot be written to.
    """
    reason = set_aside(RunDirectory(run_dir).quarantine(candidate.id), error, atoms)
    return replace(candidate, status="failed", failure="bug", reason=reason)
