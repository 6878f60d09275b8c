"""Lists of candidates of every status, and the details of single candidates."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gcd_hpc.browse.tables import UNIT, format_fraction, format_number
from gcd_hpc.campaign.table import new_table
from gcd_hpc.store.checksums import Columns
from gcd_hpc.store.field import Field, csv_cell
from gcd_hpc.store.makers import maker_name
from gcd_hpc.store.physics import RELAXED_FIELDS, candidate_fault, is_relaxed
from gcd_hpc.store.run import Run
from gcd_hpc.store.schema import BY_NAME, FIELDS, Candidate
from gcd_hpc.store.selection import sort_fields, sort_order

UNFINISHED = {"local": "relaxed around its change only", "screen": "screened only"}
"""Remarks on candidates that were not relaxed with the preset, by their last relaxation."""
LISTED = (
    *("id", "status", "n_fraction", "gb_energy_j_m2", "num_atoms", "excess_volume_a"),
    *("source", "version", "move", "parents", "round", "preset", "converged", "reason"),
)
"""Fields in a list of candidates; ``gcd-hpc show`` prints all fields."""
DETAILS = (
    *("source", "version", "round", "move", "parents", "run", "reason"),
    *("n_fraction", "num_atoms", "formula", "surplus", "gb_energy_j_m2", "excess_volume_a"),
    *("closest_pair_a", "registry", "registry_relaxed", "cell", "atoms_per_plane"),
    *("preset", "converged", "stop_reason", "max_force_ev_a", "evaluations", "cpu_s"),
)
"""Fields of a single candidate that are shown without ``--all``, where they are known."""
Record = dict[str, Any]


@dataclass(frozen=True)
class Listing:
    """Records of the listed candidates, with the numbers of selected and of all candidates."""

    records: list[Record]
    num_selected: int
    num_all: int
    selection: str


def list_rows(
    run: Run, sort: str | None = None, descending: bool = False, num: int = 20
) -> Listing:
    """Candidates of every status as plain records with the fields of LISTED.

    Args:
        sort: a field of the schema or its short name; the order of the run when not given. Unknown
            numbers come last.
        num: largest number of records; 0 for all.

    Raises:
        StoreError: if the field to sort by is wrong.
    """
    shown = _shown_rows(run, sort, descending, num)
    return Listing(shown.records(LISTED), len(run), run.num_all, run.selection)


def list_set_rows(
    members: Mapping[str, Run], sort: str | None = None, descending: bool = False, num: int = 20
) -> Listing:
    """``list_rows`` of all boundaries of a set together; their names are the first field.

    Without a field to sort by, the boundaries follow each other in their order.
    """
    records: list[Record] = []
    keys: list[Columns] = []
    for name, run in members.items():
        shown = _shown_rows(run, sort, descending, num)
        records += [{"boundary": name, **record} for record in shown.records(LISTED)]
        if sort is not None:
            keys.append(shown.columns(sort_fields(sort)))
    if sort is not None and keys:
        columns = {name: np.concatenate([one[name] for one in keys]) for name in keys[0]}
        records = [records[row] for row in sort_order(columns, sort, descending).tolist()]
    selections = {run.selection for run in members.values()}
    return Listing(
        records[: num or None],
        sum(len(run) for run in members.values()),
        sum(run.num_all for run in members.values()),
        " ".join(selections),
    )


def _shown_rows(run: Run, sort: str | None, descending: bool, num: int) -> Run:
    """The first ``num`` rows of a run, or all, in an order."""
    if sort is not None:
        ordered = run.sorted(sort, descending)
    else:
        ordered = run[::-1] if descending else run
    return ordered[: num or None]


def list_table(listing: Listing) -> RenderableType:
    """The list as a table for the terminal, with the counts as caption."""
    table = new_table()
    member = ("boundary",) if any("boundary" in record for record in listing.records) else ()
    # Headings are Text, as rich would parse "[n]" as markup.
    for heading in (
        *member,
        "candidate",
        "status",
        "[n]",
        f"GB energy ({UNIT})",
        "atoms",
        "excess volume (Å)",
        "round",
        "source",
        "remark",
    ):
        left = heading in ("boundary", "candidate", "status", "source", "remark")
        is_name = heading in ("boundary", "candidate")
        table.add_column(Text(heading), justify="left" if left else "right", no_wrap=is_name)
    for record in listing.records:
        colour = {"ok": "green", "failed": "red", "invalid": "yellow"}.get(record["status"], "")
        table.add_row(
            *([Text(record["boundary"])] if member else []),
            Text(record["id"]),
            Text(record["status"], style=colour),
            (
                "-"
                if record["n_fraction"] != record["n_fraction"]
                else format_fraction(record["n_fraction"])
            ),
            format_number(record["gb_energy_j_m2"], 4),
            str(record["num_atoms"]),
            format_number(record["excess_volume_a"], 3),
            str(record["round"]),
            Text(maker_name(record["source"], record["version"], record["move"])),
            Text(_remark(record)),
        )
    return Group(table, Text(_caption(listing), style="dim"))


def _remark(record: Record) -> str:
    if record["status"] != "ok":
        return str(record["reason"])
    remarks = [
        f"from {' and '.join(record['parents'].split())}" if record["parents"] else "",
        UNFINISHED.get(record["preset"], ""),
        "" if record["converged"] else "not converged",
    ]
    return "; ".join(filter(None, remarks))


def _caption(listing: Listing) -> str:
    shown, chosen = len(listing.records), listing.num_selected
    among = f", of which {chosen:,} with {listing.selection}" if listing.selection else ""
    more = f"; {shown:,} shown, --num 0 lists all" if shown < chosen else ""
    return f"{listing.num_all:,} candidates{among}{more}"


def csv_text(records: Sequence[Record], names: Iterable[str]) -> str:
    """Records as CSV with a heading line; unknown numbers are empty cells."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(names), lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {name: csv_cell(value) for name, value in record.items()} for record in records
    )
    return text.getvalue()


def detail_record(candidate: Candidate) -> Record:
    """All fields of a candidate as plain data, with positions (N, 3) in Å, energies (N,) in eV."""
    values = {field.name: getattr(candidate, field.name) for field in FIELDS}
    return {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in values.items()
    }


def detail_view(candidate: Candidate, standing: str, every: bool) -> RenderableType:
    """Fields of a candidate below the line ``standing``.

    Args:
        every: all fields with their meanings; else those of DETAILS that are known, which fit on a
            screen of 24 lines.
    """
    title = Text.assemble((candidate.id, "bold"), f": {standing}")
    if every:
        return Group(title, _all_fields(candidate))
    table = new_table(show_header=False)
    for name in DETAILS:
        field = BY_NAME[name]
        if value := _shown(candidate, field):
            table.add_row(name, Text(value if field.unit == "1" else f"{value} {field.unit}"))
    more = f"--all shows all {len(FIELDS)} fields and what they mean"
    return Group(title, table, Text(more, style="dim"))


def _all_fields(candidate: Candidate) -> Table:
    """All fields of a candidate with unit and meaning."""
    table = new_table()
    for heading in ("field", "value", "unit", "meaning"):
        table.add_column(heading, overflow="fold")
    for field in FIELDS:
        value = Text(_shown(candidate, field)) or Text("-", style="dim")
        table.add_row(
            field.name, value, "" if field.unit == "1" else field.unit, Text(field.meaning)
        )
    return table


def _shown(candidate: Candidate, field: Field) -> str:
    """Value of a field as text; empty if it is not known."""
    value = getattr(candidate, field.name)
    if field.per_atom:
        if not len(value) or not np.isfinite(value).all():
            return ""
        return (
            f"{len(value):,} x {field.shape[0]} numbers"
            if field.shape
            else f"{len(value):,} numbers"
        )
    if field.kind == "text":
        return str(value)
    if field.kind == "bool":
        return "yes" if value else "no"
    if field.kind == "int":
        # The default stands for a field that an older file lacks.
        return "" if field.since > 1 and value == field.default else str(value)
    return (
        ", ".join(f"{number:.6g}" for number in np.ravel(value).tolist())
        if np.isfinite(value).all()
        else ""
    )


def standing(run: Run, candidate: Candidate) -> str:
    """One line about a candidate: its status, or its energy and rank among those of its [n]."""
    if candidate.status != "ok":
        return candidate.status + (f", {candidate.reason}" if candidate.reason else "")
    if fault := candidate_fault(candidate, run.provenance.get("config")):
        return f"not physical, so it is in no ranking: {fault}"
    columns = run.columns(RELAXED_FIELDS)
    same = is_relaxed(columns) & (columns["n_index"] == candidate.n_index)
    energies = columns["gb_energy_j_m2"][same]
    lower = int(np.sum(energies < candidate.gb_energy_j_m2))
    place = "the lowest" if not lower else f"number {lower + 1:,}"
    above = (
        f", {candidate.gb_energy_j_m2 - energies.min():.4f} {UNIT} above the lowest"
        if lower
        else ""
    )
    fraction = format_fraction(candidate.n_fraction)
    return (
        f"{candidate.gb_energy_j_m2:.4f} {UNIT} at [n] = {fraction}, {place} of {len(energies):,}"
        f" relaxed there{above}"
    )
