"""The one kind of table that commands print."""

from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text


def new_table(title: str = "", **options: Any) -> Table:
    """Table without a box: two blanks between columns, bold headings, title above its left edge.

    Args:
        title: plain text, which may be wider than the columns.
        options: further keywords of rich's Table.
    """
    return _Table(
        heading=title,
        caption_justify="left",
        header_style="bold",
        box=None,
        pad_edge=False,
        **options,
    )


class _Table(Table):
    """Table whose title is not broken to the width of its columns, as rich's own would be."""

    def __init__(self, heading: str, **options: Any) -> None:
        super().__init__(**options)
        self._heading = heading

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self._heading:
            yield Text(self._heading, style="bold")
        yield from super().__rich_console__(console, options)
