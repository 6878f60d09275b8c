"""Lists of candidates of every status, and the details of single candidates."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gcd_hpc.browse.tables import UNIT, format_fraction, format_number
from gcd_hpc.campaign.table import new_table
from gcd_hpc.store.checksums import Columns
from gcd_hpc.store.field import Field, csv_cell
from gcd_hpc.store.makers import maker_name
from gcd_hpc.store.material_rows import RANKED_FIELDS, is_settled, kind_fields
from gcd_hpc.store.physics import RELAXED_FIELDS, candidate_fault, is_relaxed
from gcd_hpc.store.run import Run
from gcd_hpc.store.run_candidate import RunCandidate
from gcd_hpc.store.schema import ATOM_FIELDS, Candidate
from gcd_hpc.store.selection import sort_fields, sort_order, sortable

UNFINISHED = {"local": "relaxed around its change only", "screen": "screened only"}
"""Remarks on candidates that were not relaxed with the preset, by their last relaxation."""
LISTED = (
    *("id", "status", "n_fraction", "gb_energy_j_m2", "num_atoms", "excess_volume_a"),
    *("source", "version", "move", "parents", "round", "preset", "converged", "reason"),
)
"""Fields in a list of candidates; ``gcd-hpc show`` prints all fields."""
DETAILS = (
    *("source", "version", "round", "move", "parents", "run", "reason"),
    *("spectrum_error", "spectrum_error_se", "predicted_error", "num_labelled", "guided"),
    *("density_g_cm3", "energy_ev_atom", "n_fraction", "num_atoms", "formula", "surplus"),
    *("gb_energy_j_m2", "excess_volume_a"),
    *("closest_pair_a", "registry", "registry_relaxed", "cell", "atoms_per_plane"),
    *("preset", "converged", "stop_reason", "max_force_ev_a", "evaluations", "cpu_s"),
)
"""Fields of a single candidate that are shown without ``--all``, where they are known."""
MATERIAL_LISTED = (
    *("id", "status", "spectrum_error", "spectrum_error_se", "energy_ev_atom", "density_g_cm3"),
    *("num_atoms", "num_labelled", "source", "version", "guided", "round", "converged", "reason"),
)
"""The same of a material."""
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
    """Candidates of every status as plain records with the fields of ``listed_fields``.

    Args:
        sort: a field of the schema or its short name; the order of the run when not given. Unknown
            numbers come last.
        num: largest number of records; 0 for all.

    Raises:
        StoreError: if the field to sort by is wrong.
    """
    shown = _shown_rows(run, sort, descending, num)
    return Listing(shown.records(listed_fields(run)), len(run), run.num_all, run.selection)


def listed_fields(run: Run) -> tuple[str, ...]:
    """Fields in a list of the candidates of a run."""
    return MATERIAL_LISTED if run.is_material else LISTED


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
    if any("spectrum_error" in record for record in listing.records):
        return Group(_material_table(listing.records), Text(_caption(listing), style="dim"))
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
        table.add_row(
            *([Text(record["boundary"])] if member else []),
            Text(record["id"]),
            _status(record),
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


def _material_table(records: Sequence[Record]) -> Table:
    """Table of structures of a material for the terminal."""
    table = new_table()
    texts = ("candidate", "status", "source", "remark")
    headings = ("candidate", "status", "spectrum error", "eV/atom", "g/cm^3", "source", "remark")
    for heading in headings:
        side: Literal["left", "right"] = "left" if heading in texts else "right"
        table.add_column(heading, justify=side, no_wrap=heading != "remark")
    for record in records:
        table.add_row(
            Text(record["id"]),
            _status(record),
            with_error(record["spectrum_error"], record["spectrum_error_se"]),
            format_number(record["energy_ev_atom"], 4),
            format_number(record["density_g_cm3"], 3),
            Text(record["guided"] or record["source"]),
            Text(record["reason"] if record["status"] != "ok" else _unconverged(record)),
        )
    return table


def with_error(value: float, error: float) -> str:
    """Number with its standard error, such as 0.0412 ± 0.0031; a dash if it is not known."""
    if not isfinite(value):
        return "-"
    return f"{value:.4f}" + (f" ± {error:.4f}" if isfinite(error) else "")


def _status(record: Record) -> Text:
    colours = {"ok": "green", "failed": "red", "invalid": "yellow"}
    return Text(record["status"], style=colours.get(record["status"], ""))


def _unconverged(record: Record) -> str:
    return "" if record["converged"] else "not converged"


def _remark(record: Record) -> str:
    if record["status"] != "ok":
        return str(record["reason"])
    remarks = [
        f"from {' and '.join(record['parents'].split())}" if record["parents"] else "",
        UNFINISHED.get(record["preset"], ""),
        _unconverged(record),
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


def _detail_fields(candidate: RunCandidate) -> dict[str, Field]:
    """Fields of a candidate by name; those of the elements of a compound follow [n]."""
    found = {}
    for field in (*kind_fields(candidate.is_material), *ATOM_FIELDS):
        found[field.name] = field
        if field.name == "n_fraction":
            found |= {name: sortable(name) for name in candidate.element_fractions}
    return found


def _value(candidate: RunCandidate, field: Field) -> Any:
    if field.name in candidate.element_fractions:
        return candidate.element_fractions[field.name]
    return getattr(candidate, field.name)


def detail_record(candidate: RunCandidate) -> Record:
    """All fields of a candidate as plain data, with positions (N, 3) in Å, energies (N,) in eV."""
    fields = _detail_fields(candidate)
    values = {name: _value(candidate, field) for name, field in fields.items()}
    return {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in values.items()
    }


def detail_view(candidate: RunCandidate, standing: str, every: bool) -> RenderableType:
    """Fields of a candidate below the line ``standing``.

    Args:
        every: all fields with their meanings; else those of DETAILS that are known, which fit on a
            screen of 24 lines.
    """
    title = Text.assemble((candidate.id, "bold"), f": {standing}")
    if every:
        return Group(title, _all_fields(candidate))
    table = new_table(show_header=False)
    fields = _detail_fields(candidate)
    shown = [*DETAILS]
    place = shown.index("n_fraction") + 1
    shown[place:place] = candidate.element_fractions
    for field in (fields[name] for name in shown if name in fields):
        if value := _shown(candidate, field):
            table.add_row(field.name, Text(value if field.unit == "1" else f"{value} {field.unit}"))
    more = f"--all shows all {len(fields)} fields and what they mean"
    return Group(title, table, Text(more, style="dim"))


def _all_fields(candidate: RunCandidate) -> Table:
    """All fields of a candidate with unit and meaning."""
    table = new_table()
    for heading in ("field", "value", "unit", "meaning"):
        table.add_column(heading, overflow="fold")
    for field in _detail_fields(candidate).values():
        value = Text(_shown(candidate, field)) or Text("-", style="dim")
        table.add_row(
            field.name, value, "" if field.unit == "1" else field.unit, Text(field.meaning)
        )
    return table


def _shown(candidate: RunCandidate, field: Field) -> str:
    """Value of a field as text; empty if it is not known."""
    value = _value(candidate, field)
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
    if run.is_material:
        return _material_standing(run, candidate)
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


def _material_standing(run: Run, candidate: Candidate) -> str:
    """One line about a structure of a material: its energy, and its rank by spectrum error."""
    columns = run.columns(RANKED_FIELDS)
    settled = is_settled(columns)
    above = candidate.energy_ev_atom - columns["energy_ev_atom"][settled].min()
    energy = f"{candidate.energy_ev_atom:.4f} eV an atom, {above:.4f} above the lowest"
    if not isfinite(candidate.spectrum_error):
        return f"{energy}; not compared with the target"
    errors = columns["spectrum_error"][settled & np.isfinite(columns["spectrum_error"])]
    smaller = int(np.sum(errors < candidate.spectrum_error))
    place = "the smallest" if not smaller else f"number {smaller + 1:,}"
    error = with_error(candidate.spectrum_error, candidate.spectrum_error_se)
    return f"spectrum error {error}, {place} of {len(errors):,}; {energy}"
