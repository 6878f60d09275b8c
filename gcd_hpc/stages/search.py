"""Seed search in chunks. A try does not depend on the worker that computes it.

The first tries are structures of smaller cells where the campaign names such runs.
"""

import time
from dataclasses import replace
from pathlib import Path

from gcd_hpc.engines.child import Child
from gcd_hpc.engines.jobs import Anneal
from gcd_hpc.learning.boundary import BoundarySystem, load_boundary_system
from gcd_hpc.learning.candidates import new_candidate, with_structure
from gcd_hpc.learning.tiles import tiles_of
from gcd_hpc.search.tries import search_start
from gcd_hpc.seeds import SEARCH, generator
from gcd_hpc.stages.choosing import Chooser, kept_chooser
from gcd_hpc.stages.quarantine import NOT_THE_CANDIDATES_FAULT
from gcd_hpc.stages.record import begin
from gcd_hpc.stages.relaxing import (
    ScreenWindow,
    mark_as_bug,
    relax_candidate,
    worker_child,
    write_relaxed,
)
from gcd_hpc.stages.result import StageResult
from gcd_hpc.stages.table import Task
from gcd_hpc.store.run_directory import RunDirectory, chunk_indices
from gcd_hpc.store.schema import Candidate


def search_chunk(run_dir: str, chunk: int) -> StageResult:
    """Try and relax the structures of one chunk and write its part file."""
    begun = begin(Task("search", 0, chunk))
    system = load_boundary_system(run_dir)
    config = system.config
    window = ScreenWindow(config.relaxation.screen_window_j_m2, {})
    indices = chunk_indices(config.search.num_tries, config.search.chunk_size, chunk)
    rows = [
        search_one(system, worker_child(run_dir), index, window, Path(run_dir)) for index in indices
    ]
    part = RunDirectory(run_dir).search_part(chunk)
    return write_relaxed(begun, part, rows, system, window.lowest)


def search_one(
    system: BoundarySystem, child: Child, index: int, window: ScreenWindow, run_dir: Path
) -> Candidate:
    """Make and relax try ``index``; a bug is quarantined in ``run_dir``."""
    tiles = tiles_of(system, run_dir)
    if index < len(tiles):
        return relax_candidate(system, child, tiles[index], window, run_dir=run_dir)
    candidate = new_candidate(system, "search", index)
    try:
        candidate, anneal = chosen_start(system, candidate, kept_chooser(str(run_dir)))
    except NOT_THE_CANDIDATES_FAULT:
        raise
    except Exception as error:
        return mark_as_bug(run_dir, candidate, error)
    return relax_candidate(system, child, candidate, window, anneal, run_dir)


def chosen_start(
    system: BoundarySystem, candidate: Candidate, chooser: Chooser | None
) -> tuple[Candidate, Anneal | None]:
    """Unrelaxed candidate and its annealing schedule: one try, or the best of several.

    Further tries have random streams of their own. As many atoms are removed in them as in the
    first, whose schedule the chosen one takes, so that neither an [n] nor dynamics is preferred.
    """
    started = time.perf_counter()
    first, anneal = started_from(system, candidate)
    if chooser is None:
        return first, anneal
    num_removed = system.frame.num_atoms - first.num_atoms
    chosen = chooser.lowest(
        chooser.num_tries,
        first,
        make=lambda number: started_from(system, candidate, number, num_removed)[0],
        row_of=lambda row: row,
        with_row=lambda _, row: row,
        known_j_m2={},
    )
    return replace(chosen, sample_s=time.perf_counter() - started), anneal


def started_from(
    system: BoundarySystem, candidate: Candidate, number: int = 0, num_removed: int | None = None
) -> tuple[Candidate, Anneal | None]:
    """Unrelaxed candidate of a random stream, and its annealing schedule.

    Args:
        number: of the structure among those that one is chosen of.
        num_removed: number of atoms to remove; random if not given.
    """
    started = time.perf_counter()
    key = (candidate.index, number) if number else (candidate.index,)
    rng = generator(system.config.seed, SEARCH, *key)
    atoms, registry, anneal = search_start(
        system.frame, system.config.search, rng, num_removed=num_removed
    )
    seconds = time.perf_counter() - started
    return with_structure(
        system, candidate, atoms.positions, registry, seconds, atoms.numbers
    ), anneal
