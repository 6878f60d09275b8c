"""Names of what makes candidates: the search, the kinds of moves of exploration, the models."""

from collections.abc import Callable
from typing import Literal

import numpy as np

from gcd_hpc.store.checksums import Columns
from gcd_hpc.store.numbering import distinct

Group = Literal["search", "exploration", "model"]
GROUPS: tuple[Group, ...] = ("search", "exploration", "model")
MAKER_FIELDS = ("source", "version", "move")
FIRST = ("search", "quench", "given")
"""Sources of the structures that a run begins with, of a boundary and of a material."""
FRESH = "fresh"
"""Kind of move that builds a boundary anew."""
INPAINT_WINDOW, INPAINT_BOUNDARY = "inpaint-window", "inpaint-boundary"
INPAINT_NOISED = "inpaint-noised"
MODEL_MOVES = (INPAINT_WINDOW, INPAINT_BOUNDARY, INPAINT_NOISED)
"""Kinds of moves that use the weights of a model."""


def maker_name(source: str, version: int, move: str) -> str:
    """Name of one source: ``search``, a kind of move such as ``insert``, or ``model 01``.

    Of a material also ``quench`` and ``given``.

    ``model 00`` is the model that the campaign started from.
    """
    if source == "model":
        return f"model {version:02d}"
    if source in FIRST:
        return source
    return move or group_of(source, version, move)


def group_of(source: str, version: int, move: str) -> Group:
    """Group of a source; a move that used a model's weights, as in-painting does, is a model's.

    Quenched and given structures of a material are in the group of the search.
    """
    if source in FIRST:
        return "search"
    uses_model = source == "model" or version > 0 or move in MODEL_MOVES
    return "model" if uses_model else "exploration"


def first_parent(parents: str) -> str:
    """Id of the structure that a move began with; empty if there was none.

    Args:
        parents: as rows have them: ids parted by spaces, of a crossover the partner as the second.
    """
    return parents.partition(" ")[0]


def maker_names(columns: Columns) -> np.ndarray:
    """``maker_name`` of each row, (M,), from the columns of MAKER_FIELDS."""
    return _each(columns, maker_name)


def groups(columns: Columns) -> np.ndarray:
    """``group_of`` each row, (M,), from the columns of MAKER_FIELDS."""
    return _each(columns, group_of)


def group_names(columns: Columns) -> np.ndarray:
    """``group_of`` each row, (M,), with the version of a model: ``model 01``."""

    def name(source: str, version: int, move: str) -> str:
        group = group_of(source, version, move)
        return f"model {version:02d}" if group == "model" else group

    return _each(columns, name)


def by_maker(name: str) -> tuple[int, str]:
    """Sort key of names: the search, the moves by name, then the models."""
    return (name not in FIRST) + name.startswith("model "), name


def _each(columns: Columns, name: Callable[[str, int, str], str]) -> np.ndarray:
    """Name of each row, (M,); a million rows have few distinct makers."""
    makers, places = distinct(columns, MAKER_FIELDS)
    names = np.array([name(*maker) for maker in makers], dtype=object)
    return np.asarray(names[places])
