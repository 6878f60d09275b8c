"""Line of parents of an explored structure, back to the try that it began with."""

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from gcd_hpc.browse.tables import UNIT, format_fraction, format_number
from gcd_hpc.campaign.table import new_table
from gcd_hpc.store.makers import maker_name
from gcd_hpc.store.run import Run

ANCESTRY_FIELDS = (
    *("id", "source", "version", "move", "round", "n_fraction", "gb_energy_j_m2", "parents"),
)


def ancestry(run: Run, name: str) -> list[dict[str, Any]]:
    """Records of ANCESTRY_FIELDS: a candidate, the structure that it was made from, and so on.

    The line follows the first parent of each; the second one of a crossover is named in
    ``parents``. It ends with a try without parents, or where a merged file lacks the parent.

    Raises:
        StoreError: if no candidate has the id.
    """
    columns = run.columns(["id", "parents"])
    parents = dict(zip(columns["id"].tolist(), columns["parents"].tolist(), strict=True))
    line = [name]
    # A damaged file may name a structure as its own ancestor.
    while (first := parents.get(line[-1], "").partition(" ")[0]) in parents and first not in line:
        line.append(first)
    return run[line].records(ANCESTRY_FIELDS)


def ancestry_view(records: Sequence[dict[str, Any]]) -> RenderableType:
    """The line of parents as a table for the terminal, the newest structure first."""
    table = new_table()
    # Headings are Text, as rich would parse "[n]" as markup.
    for heading in ("candidate", "[n]", f"GB energy ({UNIT})", "made by", "from"):
        is_number = heading not in ("candidate", "made by", "from")
        table.add_column(Text(heading), justify="right" if is_number else "left")
    for record in records:
        fraction = record["n_fraction"]
        table.add_row(
            Text(record["id"]),
            "-" if fraction != fraction else format_fraction(fraction),
            format_number(record["gb_energy_j_m2"], 4),
            Text(maker_name(record["source"], record["version"], record["move"])),
            Text(" and ".join(record["parents"].split()) or "-"),
        )
    last = records[-1]
    missing = f"{last['parents'].split()[0]} is not in this file" if last["parents"] else ""
    return Group(table, Text(missing)) if missing else table
