"""Phases of a boundary: relaxed structures that are the same one, with a name and a rank."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from gcd_hpc.errors import StoreError
from gcd_hpc.phases.phase import Phase
from gcd_hpc.phases.relatives import NUM_ROOTS, with_relatives
from gcd_hpc.store.alike import difference
from gcd_hpc.store.alloys import compared_energies
from gcd_hpc.store.checksums import Columns
from gcd_hpc.store.crystal import boundary_of, unit_crystal
from gcd_hpc.store.fingerprints import outer_thickness
from gcd_hpc.store.run import Run
from gcd_hpc.store.run_candidate import RunCandidate
from gcd_hpc.structures.energetics import SAME_ENERGY_J_M2
from gcd_hpc.structures.fingerprint import (
    Fingerprint,
    boundary_height,
    distance,
    is_same,
    slab_weights,
)
from gcd_hpc.structures.layer_groups import layer_group

Rows = NDArray[np.int64]
Item = TypeVar("Item")

NUM_PER_N = 5
"""Number of phases of each [n] that are looked for by default."""
TWIN_ENERGY_J_M2, TWIN_VOLUME_A = 5e-5, 3e-4
"""Candidates that agree this well in energy and excess volume are one structure without a look at
their atoms. Relaxations that stop at a force leave a structure's energy uncertain by 5e-4 J/m^2 and
its volume by 1e-3 Å, so that most finds of one structure are twins of another one.
"""
UNFINISHED = ("local", "screen")
"""Presets of candidates whose relaxation was not finished, because they were not low enough."""
_LEADERS = 40
"""Number of structures of each [n] that are read first, and at least then."""
_FIELDS = ("id", "n_index", "atoms_per_plane", "gb_energy_j_m2", "excess_volume_a")


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
    ranked = [
        (f"{one.fraction}-{rank}", group)
        for one in _grouped(pool, max(num_per_n, NUM_ROOTS))
        for rank, group in enumerate(one.groups, start=1)
    ]
    firsts = [pool.smallest(group.rows) for _, group in ranked]
    described = zip(ranked, firsts, pool.candidates(firsts), strict=True)
    phases = [
        _phase(name, candidate, pool.ids(group.rows), pool.config(first))
        for (name, group), first, candidate in described
    ]
    # What a phase is a relative of does not depend on how many phases are wanted.
    related = with_relatives(phases, run.provenance.get("config", ""))
    return [phase for phase in related if phase.rank <= num_per_n]


def unique(run: Run, num_per_n: int | None = None) -> Run:
    """The lowest candidate of each phase of a run, lowest energy first.

    Args:
        num_per_n: largest number of phases of one [n]; all if None.

    Raises:
        StoreError: as ``find_phases``.
    """
    pool = _Pool.of(run, {})
    families = _grouped(pool, len(run) if num_per_n is None else num_per_n)
    rows = sorted(group.rows[0] for one in families for group in one.groups)
    return run[list(pool.columns["id"][rows])]


def _grouped(pool: "_Pool", num_per_n: int) -> "list[_Family]":
    """The lowest groups of equal structures of each [n], in ascending order of [n]."""
    families = _families(pool.columns)
    # All [n] at once, so that each file is opened seldom.
    while reading := [one for one in families if not one.is_complete(num_per_n)]:
        wanted = [leader.rows[0] for one in reading for leader in one.next_leaders()]
        marks = iter(pool.fingerprints(wanted))
        for one in reading:
            one.take(marks, num_per_n)
    for one in families:
        # Groups beyond the last phase were only needed to tell it from them.
        del one.groups[num_per_n:]
        for group in one.groups:
            group.rows.sort()
    return families


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
        for part, one in zip(parts, runs, strict=True):
            part["atoms_per_plane"] = _known_planes(part["atoms_per_plane"], one)
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

    def ids(self, rows: list[int]) -> tuple[str, ...]:
        """Ids of candidates in their order; those of further runs with the run's name."""
        names = [self.names[one] for one in self.run_of[rows].tolist()]
        ids = self.columns["id"][rows].tolist()
        return tuple(f"{name}.{own}" if name else own for name, own in zip(names, ids, strict=True))

    def smallest(self, rows: Sequence[int]) -> int:
        """The candidate in the smallest cell; the lowest of them, whose number is the lowest."""
        planes = self.columns["atoms_per_plane"]
        return min(rows, key=lambda row: (planes[row], row))

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


def _known_planes(planes: Rows, run: Run) -> Rows:
    """N_plane of each row; that of the boundary where a file of an earlier version lacks it."""
    if planes.all():
        return planes
    unit = unit_crystal(run.provenance.get("config", ""))
    if unit is None:
        raise StoreError(
            f"{run.path}: its phases have no names, because neither its rows nor its boundary say"
            " how many atoms a lattice plane has; gcd-hpc verify lists what is wrong with the file"
        )
    return np.where(planes > 0, planes, unit.atoms_per_plane)


def _check_same(run: Run, other: Run, name: str) -> None:
    """Refuse a run of another boundary or potential."""
    problem = difference(run, other)
    if not problem:
        return
    raise StoreError(
        f"{other.path}: its phases cannot be named with those of {run.path}, because {problem};"
        f" leave {name} out"
    )


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
        return self.leaders[self.num_read : self.num_read + max(_LEADERS, self.num_read)]

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
    positions, energies = candidate.positions, compared_energies(vars(candidate))
    outer = outer_thickness(vars(candidate), config)
    weights = slab_weights(positions, energies, candidate.cohesive_ev, outer)
    return Phase(
        name=name,
        n_index=candidate.n_index,
        n_fraction=candidate.n_fraction,
        gb_energy_j_m2=candidate.gb_energy_j_m2,
        excess_volume_a=candidate.excess_volume_a,
        representative=candidate,
        members=members,
        replicas=(1, 1) if boundary is None else boundary.replicas,
        layer_group=layer_group(positions, candidate.box, candidate.numbers, weights),
        middle_a=boundary_height(positions, weights),
    )
