"""Tables of what each source of candidates cost and found."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from gcd_hpc.accounts.sources import SourceRecord
from gcd_hpc.browse.tables import format_fraction
from gcd_hpc.campaign.table import new_table

HEADINGS = ("source", "tries", "core s", "improvements", "unique low", "lowest of [n] =")
ABOUT = (
    "Core-seconds are processor time, for a model with its training. An improvement is a structure"
    " below all earlier ones of its [n]. Unique low structures differ in [n] or energy and lie near"
    " the lowest of their [n] (selection.energy_window_j_m2). The last column lists the [n] whose"
    " lowest structure the source found first. A model's in-painting moves count as moves here."
)
"""What the columns mean."""


def source_cells(records: Sequence[SourceRecord]) -> list[tuple[str, ...]]:
    """Cells of the table: one row per source, and a last one for all."""
    rows = [
        (
            one.source,
            f"{one.tries:,}",
            f"{one.core_s:,.1f}",
            f"{one.improvements:,}",
            f"{one.unique_low:,}",
            " ".join(map(format_fraction, one.lowest_of)) or "-",
        )
        for one in records
    ]
    tries = sum(one.tries for one in records)
    core_s = sum(one.core_s for one in records)
    improvements = sum(one.improvements for one in records)
    return [*rows, ("all", f"{tries:,}", f"{core_s:,.1f}", f"{improvements:,}", "", "")]


def work_table(records: Sequence[SourceRecord]) -> Table:
    """Table for the terminal."""
    table = new_table("Work by source")
    # Headings are Text, as rich would parse "[n]" as markup.
    for heading in HEADINGS:
        is_text = heading in (HEADINGS[0], HEADINGS[-1])
        table.add_column(Text(heading), justify="left" if is_text else "right")
    for cells in source_cells(records):
        table.add_row(*map(Text, cells))
    return table


def work_markdown(records: Sequence[SourceRecord]) -> str:
    """Table in Markdown, with what its columns mean."""
    lines = [ABOUT, "", "| " + " | ".join(HEADINGS) + " |", "|---|--:|--:|--:|--:|---|"]
    lines += ["| " + " | ".join(cells) + " |" for cells in source_cells(records)]
    return "\n".join(lines)
