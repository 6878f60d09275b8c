"""Line of parents of an explored structure, back to the try that it began with."""

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from gcd_hpc.browse.listing import with_error
from gcd_hpc.browse.tables import UNIT, format_fraction, format_number
from gcd_hpc.campaign.table import new_table
from gcd_hpc.store.makers import first_parent, maker_name
from gcd_hpc.store.run import Run

ANCESTRY_FIELDS = (
    *("id", "source", "version", "move", "round", "n_fraction", "gb_energy_j_m2", "parents"),
)
MATERIAL_ANCESTRY_FIELDS = (
    *("id", "source", "version", "move", "round", "guided"),
    *("spectrum_error", "spectrum_error_se", "energy_ev_atom", "parents"),
)


def ancestry(run: Run, name: str) -> list[dict[str, Any]]:
    """Records of a candidate, the structure that it was made from, and so on.

    Their fields are ANCESTRY_FIELDS, or those of a material.

    The line follows the first parent of each; the second one of a crossover is named in
    ``parents``. It ends with a try without parents, or where a merged file lacks the parent.

    Raises:
        StoreError: if no candidate has the id.
    """
    columns = run.columns(["id", "parents"])
    parents = dict(zip(columns["id"].tolist(), columns["parents"].tolist(), strict=True))
    line = [name]
    # A damaged file may name a structure as its own ancestor.
    while (first := first_parent(parents.get(line[-1], ""))) in parents and first not in line:
        line.append(first)
    return run[line].records(MATERIAL_ANCESTRY_FIELDS if run.is_material else ANCESTRY_FIELDS)


def ancestry_view(records: Sequence[dict[str, Any]]) -> RenderableType:
    """The line of parents as a table for the terminal, the newest structure first."""
    headings, cells = _BOUNDARY if "n_fraction" in records[0] else _MATERIAL
    table = new_table()
    # Headings are Text, as rich would parse "[n]" as markup.
    for heading in ("candidate", *headings, "made by", "from"):
        table.add_column(Text(heading), justify="right" if heading in headings else "left")
    for record in records:
        table.add_row(
            Text(record["id"]),
            *map(Text, cells(record)),
            Text(maker_name(record["source"], record["version"], record["move"])),
            Text(" and ".join(record["parents"].split()) or "-"),
        )
    last = records[-1]
    missing = f"{first_parent(last['parents'])} is not in this file" if last["parents"] else ""
    return Group(table, Text(missing)) if missing else table


def _boundary_cells(record: dict[str, Any]) -> tuple[str, str]:
    fraction = record["n_fraction"]
    shown = "-" if fraction != fraction else format_fraction(fraction)
    return shown, format_number(record["gb_energy_j_m2"], 4)


def _material_cells(record: dict[str, Any]) -> tuple[str, str]:
    error = with_error(record["spectrum_error"], record["spectrum_error_se"])
    return error, format_number(record["energy_ev_atom"], 4)


_BOUNDARY = ("[n]", f"GB energy ({UNIT})"), _boundary_cells
_MATERIAL = ("spectrum error", "energy (eV/atom)"), _material_cells
"""Headings of the numbers of a structure, and the function that makes their cells."""
