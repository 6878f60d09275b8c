"""What a report needs of a run, read once: candidates, phases, costs and independent tries."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from gcd_hpc.accounts.sources import SourceRecord, Spending, sources_of, spending_of
from gcd_hpc.campaign.ledger import read_state
from gcd_hpc.campaign.state import State
from gcd_hpc.phases.clustering import find_phases
from gcd_hpc.phases.phase import Phase
from gcd_hpc.store.makers import FRESH, MAKER_FIELDS
from gcd_hpc.store.run import Run, open_run
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.structures.energetics import lowest_of_each

NUM_PER_N = 3
"""Phases of each [n] that a report lists."""
LOW_J_M2 = 0.1
"""A phase is low in energy up to this far above the lowest one known of its [n], J/m^2."""
MAX_TRIES = 4000
"""Low independent tries whose structures are compared; beyond, the first ones alone."""


@dataclass(frozen=True)
class Found:
    """A run as a report shows it."""

    run: Run
    state: State | None

    @classmethod
    def of(cls, path: Path) -> "Found":
        """Open a run directory or a file of results.

        Raises:
            GcdError: if it cannot be read.
        """
        run = open_run(path, in_memory=True)
        return cls(run, read_state(path) if path.is_dir() else None)

    @cached_property
    def relaxed(self) -> Run:
        """Candidates relaxed to a physical boundary, lowest first."""
        return self.run.relaxed()

    @cached_property
    def phases(self) -> list[Phase]:
        """The lowest phases of each [n]."""
        return find_phases(self._quick, NUM_PER_N) if len(self.relaxed) else []

    @cached_property
    def _quick(self) -> Run:
        """The same candidates from the merged file, if it holds them all: one file is read faster
        than many.
        """
        merged = RunDirectory(self.run.path).results
        if not (self.run.path.is_dir() and merged.is_file()):
            return self.run
        found = open_run(merged, in_memory=True)
        return found if len(found) == len(self.run) else self.run

    @cached_property
    def sources(self) -> list[SourceRecord]:
        """Work and findings of each source."""
        return sources_of(self.run, self.state, self.relaxed)

    @cached_property
    def spending(self) -> Spending:
        """Processor time of each row."""
        return spending_of(self.run, self.state)

    @cached_property
    def core_s(self) -> float:
        """Processor time of the whole run, s."""
        return self.spending.total_s

    @cached_property
    def independent(self) -> np.ndarray:
        """Mask of the rows that were made without a known structure, (M,): random tries and models'
        candidates, also where the exploration makes them.
        """
        columns = self.run.columns(MAKER_FIELDS)
        return is_independent(columns["source"], columns["move"])

    @cached_property
    def low_tries(self) -> Run:
        """Relaxed independent tries that are low in energy, in the order of their energies."""
        columns = self.relaxed.columns(["n_index", "gb_energy_j_m2", "source", "move"])
        _, lowest, group = lowest_of_each(columns["n_index"], columns["gb_energy_j_m2"])
        is_low = columns["gb_energy_j_m2"] <= lowest[group] + LOW_J_M2
        chosen = is_low & is_independent(columns["source"], columns["move"])
        return self.relaxed[np.flatnonzero(chosen)[:MAX_TRIES]]

    @cached_property
    def tried_phases(self) -> list[Phase]:
        """Low phases that independent tries found."""
        tries = self.low_tries
        return find_phases(tries, len(tries)) if len(tries) else []

    @cached_property
    def independent_ids(self) -> set[str]:
        """Ids of all independent tries."""
        return set(self.run[np.flatnonzero(self.independent)].columns(["id"])["id"].tolist())

    def first_found_s(self, phases: list[Phase]) -> np.ndarray:
        """Processor time of the whole run when each phase was first found, (K,) s."""
        order = self.run[self.spending.order].columns(["id"])["id"].tolist()
        until = dict(zip(order, self.spending.until().tolist(), strict=True))
        return np.array([min(until[member] for member in one.members) for one in phases])


def is_independent(source: np.ndarray, move: np.ndarray) -> np.ndarray:
    """Mask of the candidates that no known structure was changed for, (M,)."""
    return np.asarray((source != "explore") | (move == FRESH))
