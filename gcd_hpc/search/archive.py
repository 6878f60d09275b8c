"""The archive: the lowest unique structures of each [n], from which moves start.

It is a view of the relaxed rows and can be made again by anyone who reads them. Unique structures
and an even draw over [n] keep a search from narrowing down to one structure. Where a chemical
potential has a range, structures that are the lowest of their [n] elsewhere in it belong to the
archive too, which so keeps several compositions.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, zip_longest
from types import MappingProxyType

import numpy as np

from gcd_hpc.search.compositions import Envelope
from gcd_hpc.structures.energetics import SAME_ENERGY_J_M2
from gcd_hpc.structures.fingerprint import Fingerprint, first_unique, is_same

Archive = Mapping[int, Sequence[str]]
"""Ids of the structures of each n_index in the order of their ranks, as ``archive`` gives them."""
RANK_SCALE = 0.25
"""Rank at which a structure is e times less often a parent than the lowest one of its [n], if both
were tried as often, as a share of the size of the archive.
"""


def archive(
    ids: Sequence[str],
    n_index: Sequence[int],
    energies: Sequence[float],
    fingerprint: Callable[[str], Fingerprint],
    size: int,
    envelopes: Mapping[int, Envelope] = MappingProxyType({}),
) -> dict[int, list[str]]:
    """The ``size`` lowest unique structures of each [n], whatever the order of the rows.

    Where a chemical potential has a range, those that are the lowest of their [n] somewhere in it
    are added. Their ranks alternate with those of the ``size`` lowest, from the
    second one on, and among themselves they are in the order of energy as well.

    Args:
        ids, n_index, energies: (M,) of relaxed structures of one in-plane cell; J/m^2.
        fingerprint: fingerprint of a structure, by its id. It is only called for structures low
            enough to matter; callers that make archives again and again keep its results.
        envelopes: of the same rows by n_index; none where no chemical potential has a range.

    Returns:
        Ids by n_index, ascending. Without ``envelopes`` they are ordered by energy and then by id.
    """
    rows_of: dict[int, list[tuple[float, str]]] = defaultdict(list)
    for row, number, energy in zip(ids, n_index, energies, strict=True):
        rows_of[int(number)].append((float(energy), str(row)))
    kept = {}
    for number in sorted(rows_of):
        ordered = sorted(rows_of[number])
        chosen = first_unique(
            ordered,
            energy_j_m2=lambda row: row[0],
            fingerprint=lambda row: fingerprint(row[1]),
            num=size,
        )
        lowest = [row for _, row in chosen]
        added = set(envelopes[number].ids) - set(lowest) if number in envelopes else set()
        others = [row for _, row in ordered if row in added]
        ranks = chain.from_iterable(zip_longest(lowest, others))
        kept[number] = [row for row in ranks if row is not None]
    return kept


def times_tried(
    archive: Archive,
    ids: Sequence[str],
    n_index: Sequence[int],
    energies: Sequence[float],
    parents: Sequence[str],
) -> dict[str, int]:
    """How many moves began with each structure of an archive, under whatever id it was found.

    Structures of one [n] whose energies are the same to SAME_ENERGY_J_M2 count as one, because the
    same structure is found many times.

    Args:
        ids, n_index, energies: (M,) of relaxed structures; J/m^2.
        parents: ids of the structures with which moves began.
    """
    children = Counter(parents)
    by_n: dict[int, list[tuple[float, int]]] = defaultdict(list)
    energy_of = {}
    for row, number, energy in zip(ids, n_index, energies, strict=True):
        by_n[int(number)].append((float(energy), children[row]))
        energy_of[row] = float(energy)
    tried = {}
    for number, members in archive.items():
        ordered = np.array(sorted(by_n[number]))  # (m, 2) J/m^2 and moves
        sums = np.concatenate([[0.0], np.cumsum(ordered[:, 1])])
        for row in members:
            limits = np.array([-SAME_ENERGY_J_M2, SAME_ENERGY_J_M2]) + energy_of[row]
            first, end = np.searchsorted(ordered[:, 0], limits)
            tried[row] = int(sums[end] - sums[first])
    return tried


def draw_parent(
    archive: Archive, size: int, tried: Mapping[str, int], rng: np.random.Generator
) -> str:
    """Id of a random structure of an archive.

    [n] is drawn evenly. Of its structures one is drawn with the weight
    exp(-rank / (RANK_SCALE size)) / (1 + times it was tried), so that moves begin with a new
    structure soon and do not begin with the lowest ones for ever.

    Args:
        size: largest number of structures of one [n] in the archive, where compositions do not
            differ.
        tried: number of moves that began with a structure, by its id; 0 if it has none.

    Raises:
        ValueError: if the archive is empty.
    """
    filled = sorted(number for number, members in archive.items() if members)
    members = archive[filled[rng.integers(len(filled))]]
    times = np.array([tried.get(row, 0) for row in members])
    weights = np.exp(-np.arange(len(members)) / (RANK_SCALE * size)) / (1 + times)
    return members[int(rng.choice(len(members), p=weights / weights.sum()))]


def entered(
    before: Archive,
    after: Archive,
    energies: Mapping[str, float],
    fingerprint: Callable[[str], Fingerprint],
) -> set[str]:
    """Ids of the structures of an archive that an earlier one did not have under any id.

    The same structure is found many times, each time with an energy that differs in its last
    digits, so that a later find may take the place of an earlier one. That is no success.
    """

    def is_old(row: str, known: Sequence[str]) -> bool:
        return row in known or any(
            is_same(energies[row] - energies[old], fingerprint(row), fingerprint(old))
            for old in known
        )

    return {
        row
        for number, members in after.items()
        for row in members
        if not is_old(row, before.get(number, ()))
    }
