"""Single candidates out of many, with their atoms."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from gcd_hpc.errors import StoreError
from gcd_hpc.store.parts import each_of_part
from gcd_hpc.store.rows import Rows
from gcd_hpc.store.schema import Candidate


def numbers_of(rows: Rows, ids: Iterable[str], path: Path) -> np.ndarray:
    """Row numbers of ids, in their order.

    Raises:
        StoreError: naming the run's ``path`` and the id that it does not have.
    """
    wanted = list(ids)
    places = dict.fromkeys(wanted, -1)
    for number, name in enumerate(rows.columns(["id"])["id"].tolist()):
        if name in places:
            places[name] = number
    for name, number in places.items():
        if number < 0:
            raise StoreError(
                f"{path}: expected the id of a candidate of this run, got {name}; gcd-hpc ls lists"
                " them"
            )
    return np.array([places[name] for name in wanted], dtype=np.int64)


def read_numbered(parts: Sequence[tuple[Path, int]], numbers: np.ndarray) -> Iterator[Candidate]:
    """The candidates of ascending row numbers, file after file, so that a large run need not fit
    into memory.

    Args:
        parts: files and their numbers of rows, from ``Rows.parts``.
    """
    starts = np.cumsum([0, *(num for _, num in parts)])
    borders = np.searchsorted(numbers, starts).tolist()
    for (path, _), start, (first, last) in zip(
        parts, starts.tolist(), pairwise(borders), strict=False
    ):
        if first < last:
            yield from each_of_part(path, (numbers[first:last] - start).tolist())
