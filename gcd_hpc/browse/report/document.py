"""Parts of a report, whatever it is written as.

Texts are plain; what stands between backticks is code. A document knows nothing of HTML or PDF.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    # Only drawn figures are asked for their pixels, and many read facts alone.
    from matplotlib.figure import Figure

DPI = 200
"""Resolution of figures, dots per inch."""
Align = Literal["left", "right"]


@dataclass(frozen=True)
class Paragraph:
    """Sentences. is_note: about what is not there, or how to read what is."""

    text: str
    is_note: bool = False


@dataclass(frozen=True)
class Facts:
    """Names and values, one a line."""

    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Table:
    """Rows of cells below headings."""

    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    align: tuple[Align, ...]


@dataclass(frozen=True)
class Picture:
    """A figure as PNG. width_in: at which its letters have their size, inches."""

    png: bytes
    width_in: float
    height_in: float
    caption: str


@dataclass(frozen=True)
class Listing:
    """Text whose lines stay as they are."""

    text: str


Block = Paragraph | Facts | Table | Picture | Listing


@dataclass(frozen=True)
class Section:
    """Blocks below a title. starts_page: in what has pages, it begins a new one."""

    title: str
    blocks: tuple[Block, ...]
    level: int = 2
    starts_page: bool = False


@dataclass(frozen=True)
class Document:
    """A whole report. about: one line on its program, for the foot of pages."""

    title: str
    subtitle: str
    about: str
    sections: tuple[Section, ...]


def table(
    caption: str, headings: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)
) -> Table:
    """Table whose columns are aligned to the right but for those with the numbers ``left``."""
    align: list[Align] = ["left" if one in left else "right" for one in range(len(headings))]
    return Table(caption, tuple(headings), tuple(map(tuple, rows)), tuple(align))


def picture(figure: "Figure", caption: str, scale: float = 1.0) -> Picture:
    """A figure as the block of a document.

    Args:
        scale: of its size on paper and screen; its letters shrink too.
    """
    file = io.BytesIO()
    # Without the date and the version of the program, equal figures are equal bytes.
    figure.savefig(file, format="png", dpi=DPI, metadata={"Software": None})
    width, height = figure.get_size_inches().tolist()
    return Picture(file.getvalue(), scale * width, scale * height, caption)


def pieces(text: str) -> list[tuple[str, bool]]:
    """Parts of a text in order, each with whether it is code."""
    parts = text.split("`")
    return [(part, bool(place % 2)) for place, part in enumerate(parts) if part]
