"""The archive is a function of the rows alone; parents are drawn evenly over [n]."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from gcd_hpc.search.archive import archive, draw_parent, entered, times_tried
from gcd_hpc.structures.energetics import SAME_ENERGY_J_M2

STEP = SAME_ENERGY_J_M2 / 4
KINDS = np.eye(8)
"""Fingerprints of eight structures, all different."""


class Rows:
    """Relaxed rows; ``kind`` says which structure each one is."""

    def __init__(self, ids: list[str], n_index: list[int], energies: list[float], kind: list[int]):
        self.ids, self.n_index, self.energies = ids, n_index, energies
        self.kind = dict(zip(ids, kind, strict=True))
        self.asked: list[str] = []

    def fingerprint(self, row: str) -> np.ndarray:
        self.asked.append(row)
        return KINDS[self.kind[row]]

    def archive(self, size: int = 3, order: np.ndarray | None = None) -> dict[int, list[str]]:
        order = np.arange(len(self.ids)) if order is None else order
        return archive(
            [self.ids[i] for i in order],
            [self.n_index[i] for i in order],
            [self.energies[i] for i in order],
            self.fingerprint,
            size,
        )


rows = some.lists(
    some.tuples(some.integers(0, 3), some.integers(0, 40), some.integers(0, 7)),
    max_size=40,
).map(
    lambda values: Rows(
        [f"row-{number:02}" for number in range(len(values))],
        [n for n, _, _ in values],
        [2.0 + STEP * step for _, step, _ in values],
        [kind for _, _, kind in values],
    )
)


@given(rows=rows, seed=some.integers(0, 1000))
def test_the_archive_does_not_depend_on_the_order_of_the_rows(rows: Rows, seed):
    order = np.random.default_rng(seed).permutation(len(rows.ids))
    assert rows.archive() == rows.archive(order=order)
    assert list(rows.archive()) == sorted(set(rows.n_index))


@given(rows=rows)
def test_members_are_in_the_order_of_energy_and_unique(rows: Rows):
    energy = dict(zip(rows.ids, rows.energies, strict=True))
    number = dict(zip(rows.ids, rows.n_index, strict=True))
    for n, members in rows.archive().items():
        assert 1 <= len(members) <= 3
        assert {number[row] for row in members} == {n}
        assert members == sorted(members, key=lambda row: (energy[row], row))
        for a in members:
            for b in members:
                equal = rows.kind[a] == rows.kind[b]
                near = abs(energy[a] - energy[b]) < SAME_ENERGY_J_M2
                assert a == b or not (equal and near)


@given(rows=rows)
def test_a_row_is_left_out_only_for_lower_ones(rows: Rows):
    """Each row that is not a member is the same as a lower one, or the archive of its [n] is full
    of lower ones.
    """
    energy = dict(zip(rows.ids, rows.energies, strict=True))
    kept = rows.archive()
    for row, n in zip(rows.ids, rows.n_index, strict=True):
        lower = [member for member in kept[n] if (energy[member], member) <= (energy[row], row)]
        same = [
            member
            for member in lower
            if rows.kind[member] == rows.kind[row]
            and energy[row] - energy[member] < SAME_ENERGY_J_M2
        ]
        assert row in lower or same or len(lower) == 3


@given(rows=rows)
def test_an_archive_of_its_own_members_is_itself(rows: Rows):
    kept = rows.archive()
    members = {row for several in kept.values() for row in several}
    order = np.array([i for i, row in enumerate(rows.ids) if row in members], dtype=int)
    assert rows.archive(order=order) == kept


def test_fingerprints_are_made_only_until_the_archive_is_full():
    rows = Rows([f"{i:03}" for i in range(100)], [0] * 100, [i / 10 for i in range(100)], [0] * 100)
    assert rows.archive(size=4) == {0: ["000", "001", "002", "003"]}
    assert rows.asked == ["000", "001", "002", "003"]


def test_n_is_drawn_evenly_and_low_ranks_more_often():
    members = {0: ["a"], 3: [f"b{rank}" for rank in range(6)], 7: ["c", "d"], 9: []}
    rng = np.random.default_rng(0)
    counts = Counter(draw_parent(members, 12, {}, rng) for _ in range(9000))
    of_n = {n: sum(counts[row] for row in several) for n, several in members.items()}
    # 3,000 each, 45 is the standard deviation.
    assert [of_n[n] for n in (0, 3, 7)] == pytest.approx([3000] * 3, abs=180)
    ranks = [counts[f"b{rank}"] for rank in range(6)]
    weights = np.exp(-np.arange(6) / 3.0)
    expected = of_n[3] * weights / weights.sum()
    assert ranks == pytest.approx(expected, abs=110), "four standard deviations"


def test_a_larger_archive_is_drawn_from_more_evenly():
    members = {0: [f"{rank:02}" for rank in range(32)]}
    rng = np.random.default_rng(0)
    small, large = (
        np.mean([int(draw_parent(members, size, {}, rng)) for _ in range(4000)])
        for size in (12, 32)
    )
    # Means of exponentials that end at 32, rounded down; 0.1 is the error of the larger one.
    ranks = np.arange(32)
    expected = [np.average(ranks, weights=np.exp(-4 * ranks / size)) for size in (12, 32)]
    assert [small, large] == pytest.approx(expected, abs=0.45)


def test_a_structure_is_drawn_less_often_the_more_moves_began_with_it():
    members, tried = {0: ["a", "b"]}, {"a": 9}
    rng = np.random.default_rng(0)
    counts = Counter(draw_parent(members, 10**9, tried, rng) for _ in range(4000))
    # A tenth of the weight of the other one; 18 is the standard deviation.
    assert counts["a"] == pytest.approx(4000 / 11, abs=72)


def test_moves_count_for_a_structure_under_each_id_that_it_was_found_with():
    ids, n_index = ["low", "again", "other", "elsewhere"], [0, 0, 0, 1]
    energies = [2.0, 2.0002, 2.1, 2.0]
    parents = ["low", "again", "again", "elsewhere", "gone", ""]
    kept = {0: ["low", "other"], 1: ["elsewhere"]}
    tried = times_tried(kept, ids, n_index, energies, parents)
    assert tried == {"low": 3, "other": 0, "elsewhere": 1}
    backwards = times_tried(kept, ids[::-1], n_index[::-1], energies[::-1], parents[::-1])
    assert backwards == tried


def test_the_same_stream_draws_the_same_parent_whatever_the_order_of_the_archive():
    members = {0: ["a"], 3: ["b", "c"], 7: ["d", "e"]}
    backwards = dict(reversed(members.items()))
    for seed in range(30):
        one, two = (
            draw_parent(a, 12, {}, np.random.default_rng(seed)) for a in (members, backwards)
        )
        assert one == two


def test_a_structure_found_again_with_a_slightly_lower_energy_has_not_entered():
    """Minimisers end at energies that differ in their last digits."""
    old = Rows(["a", "b"], [0, 0], [2.0, 2.1], [0, 1])
    new = Rows(["a", "b", "c", "d"], [0, 0, 0, 1], [2.0, 2.1, 2.0 - 1e-6, 2.0], [0, 1, 0, 0])
    energies = dict(zip(new.ids, new.energies, strict=True))
    assert new.archive() == {0: ["c", "b"], 1: ["d"]}
    assert entered(old.archive(), new.archive(), energies, new.fingerprint) == {"d"}


def test_a_new_structure_has_entered_whatever_its_rank():
    old = Rows(["a", "b"], [0, 0], [2.0, 2.1], [0, 1])
    new = Rows(["a", "b", "c", "d"], [0, 0, 0, 0], [2.0, 2.1, 2.0, 1.5], [0, 1, 2, 3])
    energies = dict(zip(new.ids, new.energies, strict=True))
    assert entered(old.archive(4), new.archive(4), energies, new.fingerprint) == {"c", "d"}
