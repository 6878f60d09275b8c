"""One column of the store: its type, unit and meaning."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Kind = Literal["text", "int", "float", "bool"]
DTYPES: dict[str, np.dtype] = {
    "int": np.dtype("<i8"),
    "float": np.dtype("<f8"),
    "bool": np.dtype(bool),
}


@dataclass(frozen=True)
class Field:
    """One column of the store, with a value per candidate or per atom.

    Name, kind and default follow from the annotations and defaults of ``Candidate``.
    """

    title: str
    """Short label for the axis of a plot."""
    meaning: str
    unit: str = ""
    """Unit; "1" for pure numbers, "" for text."""
    since: int = 1
    labels: tuple[str, ...] = ()
    """Allowed values of a text field; empty if any text is allowed."""
    shape: tuple[int, ...] = ()
    """Shape of one value: () or (3,)."""
    per_atom: bool = False
    name: str = ""
    kind: Kind = "float"
    default: Any = None
    """Value in files of versions before ``since``; per-atom fields are NaN there."""

    @property
    def path(self) -> str:
        """Path of the dataset in the file."""
        return f"{'atoms' if self.per_atom else 'structures'}/{self.name}"

    @property
    def long_name(self) -> str:
        """Title with the unit in parentheses."""
        return f"{self.title} ({self.unit})" if self.unit not in ("", "1") else self.title
