"""Exploration in chunks of chains. Chain c of generation g is the same in every worker."""

import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from gcd_hpc.engines.child import Anneal, LammpsChild
from gcd_hpc.learning.boundary import BoundarySystem, load_boundary_system
from gcd_hpc.learning.candidates import new_candidate, with_structure
from gcd_hpc.search.archive import draw_parent
from gcd_hpc.search.chains import accepts
from gcd_hpc.search.moves import LOCAL_MOVES, Proposal, crossover
from gcd_hpc.search.shares import shares
from gcd_hpc.search.tries import random_anneal, search_start
from gcd_hpc.search.windows import Parent, draw_window, recentred
from gcd_hpc.seeds import EXPLORE, generator
from gcd_hpc.stages.population import Known, Population, population_of
from gcd_hpc.stages.quarantine import NOT_THE_CANDIDATES_FAULT
from gcd_hpc.stages.record import begin
from gcd_hpc.stages.relaxing import ScreenWindow, mark_as_bug, relax_candidate, worker_child
from gcd_hpc.stages.result import StageResult, relaxed_result
from gcd_hpc.stages.table import Task
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.schema import Candidate

FRESH, CROSSOVER = "fresh", "crossover"
KINDS = (*LOCAL_MOVES, CROSSOVER, FRESH)
"""Kinds of moves, by the labels under which candidates are stored."""


def explore_chunk(run_dir: str, round: int, chunk: int) -> StageResult:
    """Run the chains of one chunk and write its part file."""
    begun = begin(Task("explore", round, chunk))
    system, population = load_boundary_system(run_dir), population_of(run_dir)
    explore = system.config.explore
    generation, place = divmod(chunk, explore.tasks_per_generation)
    known = population.before(round, generation)
    first = place * explore.chains_per_task
    rows: list[Candidate] = []
    for number in range(first, first + explore.chains_per_task):
        child = worker_child(run_dir)
        chain = Chain(system, child, population, known, Path(run_dir), round, generation, number)
        rows += chain.run()
    # Lowest energies with those of this chunk.
    window = ScreenWindow(explore.screen_window_j_m2, known.lowest)
    for row in rows:
        if row.status == "ok":
            window.learn(row.n_index, row.gb_energy_j_m2)
    result = relaxed_result(
        rows,
        system.bicrystal.atoms_per_plane,
        begun.seconds(),
        system.config.selection.energy_window_j_m2,
        window.lowest,
    )
    part = RunDirectory(run_dir).explored_part(round, chunk)
    return begun.write(part, rows, system.config, result)


@dataclass(frozen=True)
class Chain:
    """One chain of moves: it starts from a structure of the archive and goes on from its own."""

    system: BoundarySystem
    child: LammpsChild
    population: Population
    known: Known
    run_dir: Path
    round: int
    generation: int
    number: int

    def run(self) -> list[Candidate]:
        """Rows of all moves, in order."""
        explore = self.system.config.explore
        window = ScreenWindow(explore.screen_window_j_m2, self.known.lowest)
        first = (self.generation * explore.chains + self.number) * explore.chain_length
        current: Candidate | None = None
        rows = []
        for index in range(first, first + explore.chain_length):
            rng = generator(self.system.config.seed, EXPLORE, self.round, index)
            if current is None and self.known.archive:
                current = self.population.candidate(draw_parent(self.known.archive, rng))
            lowest = dict(window.lowest)
            row = self._move(current, index, window, rng)
            rows.append(row)
            if row.status == "ok" and (
                current is None
                or accepts(
                    (current.n_index, current.gb_energy_j_m2),
                    (row.n_index, row.gb_energy_j_m2),
                    lowest,
                    explore.threshold_j_m2,
                )
            ):
                current = row
        return rows

    @cached_property
    def probabilities(self) -> dict[str, float]:
        """Probability of each kind of move in this generation."""
        explore = self.system.config.explore
        return shares(self.known.history, explore.least_share, explore.discount, KINDS)

    def _move(
        self, current: Candidate | None, index: int, window: ScreenWindow, rng: np.random.Generator
    ) -> Candidate:
        """Move ``index``, relaxed; a bug is quarantined."""
        config = self.system.config
        candidate = new_candidate(self.system, "explore", index, self.round)
        started = time.perf_counter()
        try:
            kinds = list(self.probabilities)
            kind = str(rng.choice(kinds, p=list(self.probabilities.values())))
            if current is None or kind == FRESH:
                atoms, registry, anneal = search_start(self.system.frame, config.search, rng)
                made = Made(FRESH, Proposal(atoms.positions, registry, None), (), anneal)
            else:
                made = self._changed(current, kind, rng)
        except NOT_THE_CANDIDATES_FAULT:
            raise
        except Exception as error:
            return mark_as_bug(self.run_dir, candidate, error)
        seconds = time.perf_counter() - started
        candidate = replace(candidate, move=made.kind, parents=" ".join(made.parents))
        candidate = with_structure(
            self.system,
            candidate,
            self.system.bicrystal.wrap(made.proposal.positions),
            made.proposal.registry,
            seconds,
        )
        return relax_candidate(
            self.system, self.child, candidate, window, made.anneal, self.run_dir
        )

    def _changed(self, current: Candidate, kind: str, rng: np.random.Generator) -> "Made":
        """A change of a known structure."""
        frame, explore = self.system.frame, self.system.config.explore
        parent = self._parent(current)
        if kind == CROSSOVER:
            partner = self.population.candidate(draw_parent(self.known.archive, rng))
            proposal = crossover(parent, self._parent(partner), frame, rng)
            if proposal is not None:
                return Made(kind, proposal, (current.id, partner.id), None)
            kind = str(rng.choice(list(LOCAL_MOVES)))
        window = draw_window(parent, frame, explore, rng)
        proposal = LOCAL_MOVES[kind](parent, frame, window, rng)
        return Made(kind, proposal, (current.id,), random_anneal(explore.md, rng))

    def _parent(self, row: Candidate) -> Parent:
        excess = row.energies_ev - self.system.bulk.cohesive_ev
        parent = Parent(row.positions, excess, np.asarray(row.registry_relaxed))
        return recentred(parent, self.system.frame)


@dataclass(frozen=True)
class Made:
    """An unrelaxed structure: how it was made, from which structures, and how it is annealed."""

    kind: str
    proposal: Proposal
    parents: tuple[str, ...]
    anneal: Anneal | None
