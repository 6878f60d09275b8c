"""The archive: the lowest unique structures of each [n], from which moves start.

It is a view of the relaxed rows and can be made again by anyone who reads them. Unique structures
and an even draw over [n] keep a search from narrowing down to one structure. Where a chemical
potential has a range, structures that are the lowest of their [n] elsewhere in it belong to the
archive too, which so keeps several compositions.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, zip_longest
from math import expm1, log1p
from types import MappingProxyType

import numpy as np

from gcd_hpc.search.compositions import Envelope
from gcd_hpc.structures.fingerprint import Fingerprint, first_unique, is_same

Archive = Mapping[int, Sequence[str]]
"""Ids of the structures of each n_index in the order of their ranks, as ``archive`` gives them."""
RANK_SCALE = 0.25
"""Rank at which a structure is e times less often a parent than the lowest one of its [n], as a
share of the size of the archive.
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


def draw_parent(archive: Archive, size: int, rng: np.random.Generator) -> str:
    """Id of a random structure: [n] is drawn evenly, then a low rank more often than a high one.

    Args:
        size: largest number of structures of one [n] in the archive, where compositions do not
            differ.

    Raises:
        ValueError: if the archive is empty.
    """
    filled = sorted(number for number, members in archive.items() if members)
    members = archive[filled[rng.integers(len(filled))]]
    # Inverse of the cumulative distribution that ends with the last rank.
    scale = RANK_SCALE * size
    whole = -expm1(-len(members) / scale)
    rank = int(-scale * log1p(-whole * rng.random()))
    return members[min(rank, len(members) - 1)]


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
