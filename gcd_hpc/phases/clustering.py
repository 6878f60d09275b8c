"""Phases of a boundary: relaxed structures that are the same one, with a name and a rank."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from gcd_hpc.errors import StoreError, did_you_mean, shortened
from gcd_hpc.store.alloys import compared_energies
from gcd_hpc.store.checksums import Columns
from gcd_hpc.store.crystal import boundary_of
from gcd_hpc.store.fingerprints import outer_thickness
from gcd_hpc.store.run import Run, RunCandidate
from gcd_hpc.structures.fingerprint import (
    SAME_ENERGY_J_M2,
    Fingerprint,
    distance,
    is_same,
    slab_weights,
)
from gcd_hpc.structures.layer_groups import layer_group

Rows = NDArray[np.int64]
Item = TypeVar("Item")

NUM_PER_N = 5
"""Number of phases of each [n] that are looked for where nobody says."""
TWIN_ENERGY_J_M2, TWIN_VOLUME_A = 5e-5, 3e-4
"""Candidates that agree this well in energy and excess volume are one structure without a look at
their atoms. Relaxations that stop at a force leave a structure's energy uncertain by 5e-4 J/m^2 and
its volume by 1e-3 Å, so that most finds of one structure are twins of another one.
"""
UNFINISHED = ("local", "screen")
"""Presets of candidates whose relaxation was not finished, because they were not low enough."""
_LEADERS = 40
"""Number of structures of each [n] that are read at once."""
_FIELDS = ("id", "n_index", "atoms_per_plane", "gb_energy_j_m2", "excess_volume_a")


@dataclass(frozen=True)
class Phase:
    """One structure of a boundary with all the candidates that are it.

    name: [n] in lowest terms and the rank by energy within this [n], such as ``1/5-1``.
    n_index, n_fraction: [n] of the representative, in atoms and as a fraction of a plane.
    representative: the lowest candidate in the smallest cell.
    members: ids of all candidates of this phase, lowest energy first.
    replicas: in-plane cell of the representative, in cells of the boundary without replicas.
    layer_group: its number and symbol, such as ``35 cm2m``, within 0.05 Å.
    relative: the phase that this one is with point defects, such as ``1/5-1 + 1 vacancy``; empty if
    there is none.
    defect_energy_ev: energy of each of these defects, eV.
    """

    name: str
    n_index: int
    n_fraction: float
    gb_energy_j_m2: float
    excess_volume_a: float
    representative: RunCandidate
    members: tuple[str, ...]
    replicas: tuple[int, int]
    layer_group: str
    relative: str = ""
    defect_energy_ev: float | None = None

    @property
    def num_found(self) -> int:
        """Number of candidates that are this phase."""
        return len(self.members)

    @property
    def file_name(self) -> str:
        """The name as a file name: ``1of5-1``."""
        return self.name.replace("/", "of")


def find_phases(
    run: Run, num_per_n: int = NUM_PER_N, larger: Mapping[str, Run] | None = None
) -> list[Phase]:
    """Phases of lowest energy of each [n], in ascending order of [n] and energy.

    Candidates of one [n] are one phase if their energies and fingerprints agree, as
    ``structures.fingerprint.is_same``: numerical differences, symmetry operations of the boundary
    and repetition in a larger in-plane cell do not matter. Candidates whose relaxation was not
    finished are left out. Only candidates that are low enough are read with their atoms. Nothing is
    written.

    Args:
        run: candidates of one boundary, also a selection or a merged file.
        num_per_n: largest number of phases of one [n].
        larger: runs of the same boundary and potential in other in-plane cells, by a name that
            their candidates' ids have in front, with a dot.

    Raises:
        StoreError: if a file is damaged or names no boundary, or if runs are not of one boundary
            and potential.
    """
    pool = _Pool.of(run, larger or {})
    families = _families(pool.columns)
    # All [n] at once, so that each file is opened seldom.
    while reading := [one for one in families if not one.is_complete(num_per_n)]:
        wanted = [leader.rows[0] for one in reading for leader in one.next_leaders()]
        marks = iter(pool.fingerprints(wanted))
        for one in reading:
            one.take(marks, num_per_n)
    # Groups beyond the last phase were only needed to tell it from them.
    ranked = [
        (f"{one.fraction}-{rank}", group)
        for one in families
        for rank, group in enumerate(one.groups[:num_per_n], start=1)
    ]
    # The rows are in the order of their energies: of equally large cells the lowest comes first.
    planes = pool.columns["atoms_per_plane"]
    firsts = [min(group.rows, key=lambda row: (planes[row], row)) for _, group in ranked]
    described = zip(ranked, firsts, pool.candidates(firsts), strict=True)
    return [
        _phase(name, candidate, pool.ids(group.rows), pool.config(first))
        for (name, group), first, candidate in described
    ]


def phase_named(phases: Sequence[Phase], name: str) -> Phase:
    """The phase of a name such as ``1/5-1``, or the one that a candidate's id belongs to.

    Raises:
        StoreError: if there is none.
    """
    for phase in phases:
        if name in (phase.name, phase.file_name) or name in phase.members:
            return phase
    known = [phase.name for phase in phases]
    raise StoreError(
        f"there is no phase or candidate of a phase called {shortened(name)};"
        f" gcd-hpc phases lists all{did_you_mean(name, known)}"
    )


@dataclass(frozen=True)
class _Pool:
    """Finished candidates of runs of one boundary, in the order of their energies.

    columns: _FIELDS, (M,) each.
    run_of, row_of: number of the run of each candidate, and its row in the run, (M,).
    """

    runs: tuple[Run, ...]
    names: tuple[str, ...]
    columns: Columns
    run_of: Rows
    row_of: Rows

    @classmethod
    def of(cls, run: Run, larger: Mapping[str, Run]) -> "_Pool":
        for name, other in larger.items():
            _check_same(run, other, name)
        runs = [one.relaxed() for one in (run, *larger.values())]
        runs = [one[~np.isin(one.columns(["preset"])["preset"], UNFINISHED)] for one in runs]
        parts = [one.columns(_FIELDS) for one in runs]
        columns = {name: np.concatenate([part[name] for part in parts]) for name in _FIELDS}
        order = np.argsort(columns["gb_energy_j_m2"], kind="stable")
        lengths = [len(one) for one in runs]
        return cls(
            tuple(runs),
            ("", *larger),
            {name: column[order] for name, column in columns.items()},
            np.repeat(np.arange(len(runs)), lengths)[order],
            np.concatenate([np.arange(num) for num in lengths])[order],
        )

    def ids(self, rows: Sequence[int]) -> tuple[str, ...]:
        """Ids of candidates, lowest energy first; those of further runs with the run's name."""
        names = [self.names[one] for one in self.run_of[sorted(rows)].tolist()]
        ids = self.columns["id"][sorted(rows)].tolist()
        return tuple(f"{name}.{own}" if name else own for name, own in zip(names, ids, strict=True))

    def config(self, row: int) -> str:
        """Attribute ``config`` of the run of a candidate."""
        return self.runs[int(self.run_of[row])].provenance.get("config", "")

    def fingerprints(self, rows: Sequence[int]) -> list[Fingerprint]:
        """Fingerprints of candidates, in their order."""
        return self._each(rows, lambda run: run.fingerprints())

    def candidates(self, rows: Sequence[int]) -> list[RunCandidate]:
        """Candidates with their atoms, in the order of their numbers."""
        return self._each(rows, list)

    def _each(self, rows: Sequence[int], read: Callable[[Run], Sequence[Item]]) -> list[Item]:
        """What each run reads of its own candidates among some, in the order of all."""
        chosen = np.array(rows, dtype=int)
        found: dict[int, Item] = {}
        for number, run in enumerate(self.runs):
            places = np.flatnonzero(self.run_of[chosen] == number)
            own = read(run[self.row_of[chosen[places]]])
            found |= dict(zip(places.tolist(), own, strict=True))
        return [found[place] for place in range(len(chosen))]


def _check_same(run: Run, other: Run, name: str) -> None:
    """Refuse a run of another boundary or potential."""
    boundaries = [boundary_of(one.provenance.get("config", "")) for one in (run, other)]
    if any(one is None for one in boundaries):
        problem = "a file names no boundary"
    elif len({one.model_copy(update={"replicas": (1, 1)}) for one in boundaries if one}) > 1:
        problem = "they are not of one boundary"
    elif len({one for each in (run, other) for one in _potentials(each)}) > 1:
        problem = "they are not of one potential"
    else:
        return
    raise StoreError(
        f"{other.path}: its phases cannot be named with those of {run.path}, because {problem};"
        f" leave {name} out"
    )


def _potentials(run: Run) -> set[str]:
    return set(run.relaxed().columns(["potential_sha256"])["potential_sha256"].tolist())


@dataclass
class _Leader:
    """A candidate whose atoms are read, and those that are its twins by energy and volume.

    rows: numbers of all of them, the leader first.
    """

    energy: float
    volume: float
    rows: list[int]


@dataclass
class _Group:
    """Candidates that are one structure; energy and fingerprint are those of the lowest."""

    energy: float
    mark: Fingerprint
    rows: list[int]


@dataclass
class _Family:
    """Candidates of one [n] in the order of their energies, grouped as far as they were read."""

    fraction: Fraction
    leaders: list[_Leader]
    groups: list[_Group] = field(default_factory=list)
    num_read: int = 0

    def is_complete(self, num: int) -> bool:
        """Whether no further leader can be one of the ``num`` lowest groups."""
        if self.num_read == len(self.leaders):
            return True
        following = self.leaders[self.num_read].energy
        return len(self.groups) >= num and (
            following > self.groups[num - 1].energy + SAME_ENERGY_J_M2
        )

    def next_leaders(self) -> list[_Leader]:
        """The leaders that are read next."""
        return self.leaders[self.num_read : self.num_read + _LEADERS]

    def take(self, marks: Iterator[Fingerprint], num: int) -> None:
        """Group the next leaders by their fingerprints, as long as that may matter."""
        leaders = self.next_leaders()
        found = list(islice(marks, len(leaders)))
        for leader, mark in zip(leaders, found, strict=True):
            if self.is_complete(num):
                return
            self.num_read += 1
            equal = [
                one for one in self.groups if is_same(leader.energy - one.energy, mark, one.mark)
            ]
            if equal:
                nearest = min(equal, key=lambda one: distance(mark, one.mark))
                nearest.rows += leader.rows
            else:
                self.groups.append(_Group(leader.energy, mark, list(leader.rows)))


def _families(columns: Columns) -> list[_Family]:
    """Candidates by their [n] in ascending order.

    Args:
        columns: _FIELDS, (M,) each, in the order of the energies.
    """
    leaders_of: dict[Fraction, list[_Leader]] = {}
    names = ("n_index", "atoms_per_plane", "gb_energy_j_m2", "excess_volume_a")
    values = zip(*(columns[name].tolist() for name in names), strict=True)
    for row, (index, plane, energy, volume) in enumerate(values):
        leaders = leaders_of.setdefault(Fraction(index, plane), [])
        twin = _twin(leaders, energy, volume)
        if twin is None:
            leaders.append(_Leader(energy, volume, [row]))
        else:
            twin.rows.append(row)
    return [_Family(fraction, leaders_of[fraction]) for fraction in sorted(leaders_of)]


def _twin(leaders: list[_Leader], energy: float, volume: float) -> _Leader | None:
    """The leader of a candidate that agrees with it; leaders are in the order of energies."""
    for leader in reversed(leaders):
        if energy - leader.energy > TWIN_ENERGY_J_M2:
            return None
        if abs(volume - leader.volume) <= TWIN_VOLUME_A:
            return leader
    return None


def _phase(name: str, candidate: RunCandidate, members: tuple[str, ...], config: str) -> Phase:
    boundary = boundary_of(config)
    return Phase(
        name=name,
        n_index=candidate.n_index,
        n_fraction=candidate.n_fraction,
        gb_energy_j_m2=candidate.gb_energy_j_m2,
        excess_volume_a=candidate.excess_volume_a,
        representative=candidate,
        members=members,
        replicas=(1, 1) if boundary is None else boundary.replicas,
        layer_group=_layer_group(candidate, config),
    )


def _layer_group(candidate: RunCandidate, config: str) -> str:
    weights = slab_weights(
        candidate.positions,
        compared_energies(vars(candidate)),
        candidate.cohesive_ev,
        outer_thickness(vars(candidate), config),
    )
    return layer_group(candidate.positions, candidate.box, candidate.numbers, weights)
