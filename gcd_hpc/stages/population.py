"""The relaxed structures that a generation of exploration starts from.

All of it follows from the part files that were complete when the generation began, so that every
worker at any time sees the same.
"""

import functools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import fsum
from pathlib import Path

import numpy as np

from gcd_hpc.learning.boundary import BoundarySystem, load_boundary_system
from gcd_hpc.learning.candidates import boundary_fingerprint
from gcd_hpc.search.archive import Archive, archive, entered, times_tried
from gcd_hpc.search.compositions import Envelope, MuRange, range_of_mu
from gcd_hpc.search.shares import Outcome, credits
from gcd_hpc.store.checksums import Columns
from gcd_hpc.store.makers import first_parent
from gcd_hpc.store.parts import read_columns, read_part
from gcd_hpc.store.run_directory import RunDirectory, num_chunks, part_number
from gcd_hpc.store.schema import Candidate
from gcd_hpc.structures.energetics import lowest_energies
from gcd_hpc.structures.fingerprint import Fingerprint

COLUMNS = (
    "id",
    "status",
    "move",
    "parents",
    "n_index",
    "gb_energy_j_m2",
    "surplus",
    "formula",
    "atom_evaluations",
    "voxel_evaluations",
)
NETWORK_WEIGHT = 1.0
"""Cost of one network evaluation of one voxel, in force evaluations of one atom: 0.4 and 1.3 on two
machines.
"""


@dataclass(frozen=True)
class Known:
    """State of the population when a generation begins.

    archive: ids of the structures of each n_index from which chains start, by rank.
    tried: number of moves that began with each of them.
    lowest: lowest energy of each n_index, J/m^2.
    history: outcome of each kind of move in each earlier generation, oldest first.
    mu_range: of the chemical potential; None where it has none.
    envelopes: lowest energies of each n_index in this range; empty where there is none.
    """

    archive: Archive
    tried: Mapping[str, int]
    lowest: Mapping[int, float]
    history: Sequence[Mapping[str, Outcome]]
    mu_range: MuRange | None
    envelopes: Mapping[int, Envelope]

    def allowance(self, row: Candidate) -> float:
        """Energy that a structure may have above the lowest of its [n] as it is, J/m^2.

        A structure whose composition other chemical potentials favour is compared with the lowest
        structures there. It is 0 where no chemical potential has a range.

        Args:
            row: relaxed or not.
        """
        envelope = self.envelopes.get(row.n_index)
        if envelope is None or self.mu_range is None:
            return 0.0
        reached = envelope.reaches(self.mu_range.slope(row.formula))
        return max(0.0, reached - self.lowest[row.n_index])


@dataclass
class Population:
    """Reader of the relaxed parts of a run, which keeps what it has read."""

    run: RunDirectory
    system: BoundarySystem
    _columns: dict[Path, Columns] = field(default_factory=dict)
    _places: dict[str, tuple[Path, int]] = field(default_factory=dict)
    _energies: dict[str, float] = field(default_factory=dict)
    _candidates: dict[str, Candidate] = field(default_factory=dict)
    _fingerprints: dict[str, Fingerprint] = field(default_factory=dict)
    _archives: dict[tuple[int, int], Archive] = field(default_factory=dict)
    _known_envelopes: dict[tuple[int, int], dict[int, Envelope]] = field(default_factory=dict)
    _outcomes: dict[tuple[int, int], dict[str, Outcome]] = field(default_factory=dict)

    def before(self, round: int, generation: int) -> Known:
        """What is known when a generation begins."""
        rows = self._rows(self._parts_before(round, generation))
        ok = rows["status"] == "ok"
        ids, n_index, energies = (rows[name][ok] for name in ("id", "n_index", "gb_energy_j_m2"))
        parents = list(map(first_parent, rows["parents"].tolist()))
        known = self._archive(round, generation)
        return Known(
            known,
            times_tried(known, ids.tolist(), n_index.tolist(), energies.tolist(), parents),
            lowest_energies(n_index, energies),
            self._history(round, generation),
            self.mu_range,
            self._envelopes(round, generation),
        )

    @cached_property
    def mu_range(self) -> MuRange | None:
        """Range of the chemical potential; None where it has none."""
        return range_of_mu(self.system.bulk.chemistry, self.system.bicrystal)

    def candidate(self, id: str) -> Candidate:
        """A relaxed structure by its id, read once."""
        if id not in self._candidates:
            path, row = self._places[id]
            self._candidates[id] = read_part(path, [row])[0]
        return self._candidates[id]

    def _parts_before(self, round: int, generation: int) -> list[Path]:
        size = self.system.config.explore.tasks_per_generation
        own = set(self.run.explored_parts(round))
        return [
            part
            for part in self.run.known_parts(round + 1)
            if part not in own or part_number(part) < generation * size
        ]

    def _archive(self, round: int, generation: int) -> Archive:
        """Archive at the beginning of a generation."""
        key = round, generation
        if key not in self._archives:
            rows = self._rows(self._parts_before(round, generation))
            ok = rows["status"] == "ok"
            self._archives[key] = archive(
                rows["id"][ok],
                rows["n_index"][ok],
                rows["gb_energy_j_m2"][ok],
                self._fingerprint,
                self.system.config.explore.archive_size,
                self._envelopes(round, generation),
            )
        return self._archives[key]

    def _envelopes(self, round: int, generation: int) -> dict[int, Envelope]:
        """Envelopes by n_index at the beginning of a generation.

        There are none if no chemical potential has a range.
        """
        if self.mu_range is None:
            return {}
        key = round, generation
        if key not in self._known_envelopes:
            rows = self._rows(self._parts_before(round, generation))
            self._known_envelopes[key] = self._envelopes_of(rows, self.mu_range)
        return self._known_envelopes[key]

    @staticmethod
    def _envelopes_of(rows: Columns, mu_range: MuRange) -> dict[int, Envelope]:
        """Envelopes of the relaxed rows by n_index."""
        found, ok = {}, rows["status"] == "ok"
        for number in np.unique(rows["n_index"][ok]).tolist():
            here = ok & (rows["n_index"] == number)
            ids, energies, surplus, formulas = (
                rows[name][here].tolist() for name in ("id", "gb_energy_j_m2", "surplus", "formula")
            )
            first = dict(zip(surplus, formulas, strict=True))
            slopes = {one: mu_range.slope(formula) for one, formula in first.items()}
            found[number] = Envelope.of(ids, energies, surplus, slopes, mu_range.low, mu_range.high)
        return found

    def _history(self, round: int, generation: int) -> list[dict[str, Outcome]]:
        """Outcomes of each kind of move, for every generation before this one."""
        ended = [(old, one) for old in range(round) for one in range(self._num_generations(old))]
        ended += [(round, one) for one in range(generation)]
        for one in ended:
            if one not in self._outcomes:
                self._outcomes[one] = self._outcome(*one)
        return [self._outcomes[one] for one in ended]

    def _num_generations(self, round: int) -> int:
        """Number of generations of an earlier round, which patience may have ended early."""
        explore = self.system.config.explore
        if not explore.patience:
            return explore.generations
        last = max(map(part_number, self.run.explored_parts(round)), default=-1)
        return num_chunks(last + 1, explore.tasks_per_generation)

    def _outcome(self, round: int, generation: int) -> dict[str, Outcome]:
        """Outcome of each kind of move in one generation that has ended."""
        size = self.system.config.explore.tasks_per_generation
        chunks = range(generation * size, (generation + 1) * size)
        rows = self._rows(
            part for part in self.run.explored_parts(round) if part_number(part) in chunks
        )
        before, after = self._archive(round, generation), self._archive(round, generation + 1)
        new = entered(before, after, self._energies, self._fingerprint)
        sources = dict(zip(rows["id"].tolist(), rows["move"].tolist(), strict=True))
        earned = credits(after, new, sources)
        costs: dict[str, list[float]] = defaultdict(list)
        for move, forces, network in zip(
            rows["move"], rows["atom_evaluations"], rows["voxel_evaluations"], strict=True
        ):
            costs[move].append(float(forces) + NETWORK_WEIGHT * float(network))
        return {
            move: Outcome(earned[move], fsum(one), len(one)) for move, one in sorted(costs.items())
        }

    def _rows(self, parts: Iterable[Path]) -> Columns:
        """Columns of several parts, each read once."""
        tables = []
        for path in parts:
            if path not in self._columns:
                table = read_columns([path], list(COLUMNS))
                self._columns[path] = table
                self._places |= {id: (path, row) for row, id in enumerate(table["id"])}
                self._energies |= dict(
                    zip(table["id"].tolist(), table["gb_energy_j_m2"].tolist(), strict=True)
                )
            tables.append(self._columns[path])
        if not tables:
            return {name: np.empty(0, dtype=object) for name in COLUMNS}
        return {name: np.concatenate([table[name] for table in tables]) for name in COLUMNS}

    def _fingerprint(self, id: str) -> Fingerprint:
        if id not in self._fingerprints:
            # Most rows of a part are asked for, and one alone takes nearly as long to read as all.
            for row in read_part(self._places[id][0]):
                if row.status == "ok":
                    self._fingerprints[row.id] = boundary_fingerprint(self.system, row)
        return self._fingerprints[id]


@functools.lru_cache(maxsize=64)
def population_of(run_dir: str) -> Population:
    """Population of a run, kept for all tasks of a worker; of a set those of the last runs."""
    return Population(RunDirectory(run_dir), load_boundary_system(run_dir))
