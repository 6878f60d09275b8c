"""Exploration in chunks of chains. A chain does not depend on the worker that computes it."""

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gcd_hpc.engines.child import Child
from gcd_hpc.learning.boundary import load_boundary_system
from gcd_hpc.processor import processor_s
from gcd_hpc.search.chains import Scored, accepts
from gcd_hpc.seeds import EXPLORE, generator
from gcd_hpc.stages.population import population_of
from gcd_hpc.stages.proposals import Proposer
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
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.schema import Candidate


def explore_chunk(run_dir: str, round: int, chunk: int) -> StageResult:
    """Run the chains of one chunk and write its part file."""
    begun = begin(Task("explore", round, chunk))
    system, population = load_boundary_system(run_dir), population_of(run_dir)
    explore = system.config.explore
    generation, place = divmod(chunk, explore.tasks_per_generation)
    known = population.before(round, generation)
    proposer = Proposer(system, population, known, Path(run_dir), round)
    # Chains of this chunk, numbered through all generations of the round.
    first = generation * explore.chains + place * explore.chains_per_task
    rows: list[Candidate] = []
    for number in range(first, first + explore.chains_per_task):
        rows += Chain(proposer, worker_child(run_dir), number).run()
    # Lowest energies with those of this chunk.
    window = ScreenWindow(explore.screen_window_j_m2, known.lowest)
    for row in rows:
        if row.status == "ok":
            window.learn(row.n_index, row.gb_energy_j_m2)
    part = RunDirectory(run_dir).explored_part(round, chunk)
    return write_relaxed(begun, part, rows, system, window.lowest)


@dataclass(frozen=True)
class Chain:
    """One chain of moves, from a structure of the archive and then from each one it accepts."""

    proposer: Proposer
    child: Child
    number: int

    def run(self) -> list[Candidate]:
        """Rows of all moves, in order."""
        config = self.proposer.system.config
        explore = config.explore
        window = ScreenWindow(explore.screen_window_j_m2, self.proposer.known.lowest)
        threshold = explore.threshold_j_m2
        first = self.number * explore.chain_length
        current: Candidate | None = None
        rows = []
        for index in range(first, first + explore.chain_length):
            rng = generator(config.seed, EXPLORE, self.proposer.round, index)
            if current is None:
                current = self.proposer.first(rng)
            lowest = dict(window.lowest)
            row = self._move(current, index, window, rng)
            rows.append(row)
            if row.status == "ok" and (
                current is None
                or accepts(self._scored(current), self._scored(row), lowest, threshold)
            ):
                current = row
        return rows

    def _move(
        self,
        current: Candidate | None,
        index: int,
        window: ScreenWindow,
        rng: np.random.Generator,
    ) -> Candidate:
        """Move ``index``, relaxed; a bug is quarantined."""
        started, before_s = time.perf_counter(), processor_s()
        proposer = self.proposer
        try:
            made = proposer.chosen(current, index, rng)
        except NOT_THE_CANDIDATES_FAULT:
            raise
        except Exception as error:
            return mark_as_bug(proposer.run_dir, proposer.empty(index), error)
        row = replace(made.row, sample_s=time.perf_counter() - started)
        if row.status == "sampled":
            row = relax_candidate(
                proposer.system,
                self.child,
                row,
                window.wider(proposer.known.allowance(row)),
                made.anneal,
                proposer.run_dir,
                made.origin,
                quick=True,
            )
        return replace(row, cpu_s=max(0.0, processor_s() - before_s))

    def _scored(self, row: Candidate) -> Scored:
        """n_index of a relaxed row, and its energy less what its composition may have more."""
        return row.n_index, row.gb_energy_j_m2 - self.proposer.known.allowance(row)
