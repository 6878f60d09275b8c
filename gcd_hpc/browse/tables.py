"""Tables of the lowest energies of a run, in total and by source of the candidates."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gcd_hpc.campaign.table import new_table
from gcd_hpc.store.element_fractions import element_names, element_of
from gcd_hpc.store.makers import MAKER_FIELDS, by_maker, group_names, maker_name
from gcd_hpc.store.physics import candidate_fault
from gcd_hpc.store.run import Run

if TYPE_CHECKING:
    from gcd_hpc.stages.evaluate import Evaluated

UNIT = "J/m^2"
MAX_REASONS = 5
"""Largest number of refused rows whose reason is shown."""
TIE_J_M2 = 1e-3
"""Energies closer than this count as equal in a table, J/m^2."""
TOP_FIELDS = (
    "id",
    "source",
    "version",
    "move",
    "round",
    "n_index",
    "n_fraction",
    "gb_energy_j_m2",
    "num_atoms",
    "excess_volume_a",
    "converged",
)

ALLOY_FIELDS = ("surplus", "rich_gb_energy_j_m2", "poor_gb_energy_j_m2")
"""Further fields where there are several elements."""


@dataclass(frozen=True)
class Tally:
    """Number of candidates of one source by status."""

    tried: int
    ok: int
    invalid: int
    failed: int


@dataclass(frozen=True)
class FractionRow:
    """Lowest energy and number of relaxed candidates at one [n], by source.

    Sources without a candidate of this [n] are absent.
    """

    n_fraction: float
    best_j_m2: dict[str, float]
    num: dict[str, int]

    @property
    def lowest_j_m2(self) -> float:
        """Lowest energy of all sources, J/m^2."""
        return min(self.best_j_m2.values())

    def leads(self, source: str) -> bool:
        """Whether the source reached the lowest energy of this [n]."""
        return source in self.best_j_m2 and self.best_j_m2[source] < self.lowest_j_m2 + TIE_J_M2


@dataclass(frozen=True)
class SourceComparison:
    """Comparison of the search, the exploration and the model versions."""

    sources: tuple[str, ...]
    """"search", "exploration", "model 01", ...: those with candidates."""
    rows: tuple[FractionRow, ...]
    tallies: dict[str, Tally]


@dataclass(frozen=True)
class Top:
    """The lowest energies of a run as plain records."""

    records: list[dict[str, Any]]
    unphysical: dict[str, str]
    """Reasons, by id, why rows of lower energy are no boundary of the crystal; MAX_REASONS most."""
    num_unphysical: int
    """Number of all these rows."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the fields of all records, which are more in alloys."""
        return tuple(dict.fromkeys(name for row in self.records for name in row))


def find_top(run: Run, per_n: bool = False, num: int | None = None) -> Top:
    """Physical candidates of lowest energy; equal energies are ordered by id.

    Args:
        per_n: return the lowest of every [n], sorted by [n], instead of the lowest of all.
        num: number of the lowest; 1 of every [n] or 10 of all if None, all if 0.
    """
    if num is None:
        num = 1 if per_n else 10
    lowest, refused = run.ranking(num or len(run), per_n)
    config = run.provenance.get("config")
    unphysical = {one.id: candidate_fault(one, config) for one in refused[:MAX_REASONS]}
    names = TOP_FIELDS + (ALLOY_FIELDS if run.has_several_elements else ())
    names += element_names(config)
    return Top(lowest.records(names), unphysical, len(refused))


def find_set_top(members: Mapping[str, Run], per_n: bool = False, num: int | None = 1) -> Top:
    """``find_top`` of each boundary of a set, in their order; its name is the first field."""
    found = {name: find_top(run, per_n, num) for name, run in members.items()}
    return Top(
        [{"boundary": name, **record} for name, one in found.items() for record in one.records],
        {f"{name}: {id}": why for name, one in found.items() for id, why in one.unphysical.items()},
        sum(one.num_unphysical for one in found.values()),
    )


def best_by_source(run: Run) -> SourceComparison:
    """Lowest energy and number of candidates by [n]: search, exploration, each model version.

    In-painting moves of exploration count as their model's.
    """
    every = run.columns([*MAKER_FIELDS, "status"])
    labels = group_names(every)
    sources = tuple(sorted(set(labels.tolist()), key=by_maker))
    tallies = {source: _tally(every["status"][labels == source]) for source in sources}
    relaxed = run.relaxed().columns([*MAKER_FIELDS, "n_index", "n_fraction", "gb_energy_j_m2"])
    labels = group_names(relaxed)
    rows = []
    for n_index in np.unique(relaxed["n_index"]).tolist():
        here = relaxed["n_index"] == n_index
        energies = {
            source: relaxed["gb_energy_j_m2"][here & (labels == source)] for source in sources
        }
        fraction = float(relaxed["n_fraction"][here][0])
        best = {source: float(values[0]) for source, values in energies.items() if len(values)}
        rows.append(FractionRow(fraction, best, {source: len(energies[source]) for source in best}))
    return SourceComparison(sources, tuple(rows), tallies)


def _tally(statuses: np.ndarray) -> Tally:
    ok, invalid, failed = (
        int(np.sum(statuses == status)) for status in ("ok", "invalid", "failed")
    )
    return Tally(len(statuses), ok, invalid, failed)


def json_text(records: Any) -> str:
    """Plain data as JSON; numbers that are not finite become null."""
    return json.dumps(plain(records), indent=2, allow_nan=False)


def plain(value: Any) -> Any:
    """Convert a value to JSON types: lists for arrays and tuples, None for NaN and infinities."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":  # thousands of them at once
        values = value.astype(object)
        values[~np.isfinite(value)] = None
        return values.tolist()
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def top_table(top: Top) -> Table:
    """Table of the lowest energies for the terminal, with the refused rows as caption."""
    table = new_table()
    # Headings are Text, as rich would parse "[n]" as markup.
    energy, volume = f"GB energy ({UNIT})", "excess volume (Å)"
    is_alloy = any("surplus" in row for row in top.records)
    alloy = ("surplus", "between\nthe limits") if is_alloy else ()
    if is_alloy:
        # Rows of several elements are wide, and narrow headings leave room for their numbers.
        energy, volume = energy.replace(" (", "\n("), volume.replace(" ", "\n", 1)
    known = dict.fromkeys(name for row in top.records for name in row if element_of(name))
    each = (f"of {', '.join(map(element_of, known))}",) if known else ()
    member = ("boundary",) if any("boundary" in row for row in top.records) else ()
    for heading in (*member, "[n]", *each, energy, *alloy, "atoms", volume, "candidate", "source"):
        is_text = heading in ("boundary", "surplus", "candidate", "source")
        is_name = heading in ("boundary", "candidate")
        table.add_column(Text(heading), justify="left" if is_text else "right", no_wrap=is_name)
    for row in top.records:
        energy = f"{row['gb_energy_j_m2']:.4f}" + ("" if row["converged"] else "*")
        table.add_row(
            *([Text(row["boundary"])] if member else []),
            format_fraction(row["n_fraction"]),
            *([_element_cell(row, known)] if known else []),
            energy,
            *(_alloy_cells(row) if is_alloy else ()),
            str(row["num_atoms"]),
            format_number(row["excess_volume_a"], 3),
            Text(row["id"]),
            Text(maker_name(row["source"], row["version"], row["move"])),
        )
    table.caption = "\n".join(_caption(top, is_alloy)) or None
    return table


def _caption(top: Top, is_alloy: bool) -> list[str]:
    """Remarks on a table of the lowest energies."""
    remarks = [
        f"{name} is not physical and left out: {reason}" for name, reason in top.unphysical.items()
    ]
    if top.num_unphysical > len(top.unphysical):
        remarks.append(
            f"{top.num_unphysical:,} candidates are not physical and left out; gcd-hpc verify lists"
            " them"
        )
    if not all(row["converged"] for row in top.records):
        remarks.insert(0, "* not converged: an upper bound")
    if is_alloy:
        remarks.append(
            "surplus: atoms beyond the ratio of the crystal; between the limits: GB energy in"
            " equilibrium with the pure first and with the pure second element"
        )
    return remarks


def _element_cell(row: Mapping[str, Any], names: Iterable[str]) -> str:
    """[n] of each element of a compound, by the names of their columns."""
    found = (row.get(name, math.nan) for name in names)
    return ", ".join("-" if math.isnan(one) else format_fraction(one) for one in found)


def _alloy_cells(row: dict[str, Any]) -> tuple[str, str]:
    """Cells of a row of several elements: its surplus, and its energies at both limits."""
    rich, poor = row["rich_gb_energy_j_m2"], row["poor_gb_energy_j_m2"]
    if not (math.isfinite(rich) and math.isfinite(poor)):
        return row["surplus"], "-"
    return row["surplus"], f"{rich:.4f} to {poor:.4f}"


def energies_table(structures: "Sequence[Evaluated]") -> Group:
    """Table of ``gcd-hpc relax`` for the terminal: the energies of structure files.

    File names are listed below the table, one per line, so that they are never wrapped.
    """
    table = new_table()
    numbers = {
        "[n]": ("n_fraction", 3),
        f"GB energy ({UNIT})": ("gb_energy_j_m2", 4),
        "atoms": ("num_atoms", 0),
        "excess volume (Å)": ("excess_volume_a", 3),
        "summed over (Å)": ("summed_height_a", 1),
    }
    table.add_column("", justify="right")
    table.add_column("status")
    for heading in numbers:
        table.add_column(Text(heading), justify="right")
    names: list[RenderableType] = []
    for place, structure in enumerate(structures, start=1):
        cells = [format_number(getattr(structure, key), digits) for key, digits in numbers.values()]
        table.add_row(str(place), structure.status, *cells)
        name = "  ".join(filter(None, (f"{place:3d}", structure.file, structure.id)))
        names.append(Text(name, no_wrap=True, overflow="ignore"))
        if remark := _remark(structure):
            names.append(Padding(Text(remark), (0, 0, 0, 5)))
    bulk = f"bulk crystal: {structures[0].cohesive_ev:.5f} eV an atom"
    return Group(table, Text(), *names, Text(bulk))


def _remark(structure: "Evaluated") -> str:
    """Remarks on a structure: why it failed, and what affects its energy."""
    remarks = [structure.reason]
    if structure.num_removed or structure.largest_shift_a > 0.05:
        remarks.append(
            f"outer layers put on the lattice, by up to {structure.largest_shift_a:.2f} Å"
        )
    if structure.num_removed:
        remarks.append(f"{structure.num_removed} surface atoms left out")
    if structure.surplus:
        remarks.append(f"surplus {structure.surplus}")
    if structure.surplus and structure.rich_gb_energy_j_m2 is not None:
        remarks.append(
            f"{structure.rich_gb_energy_j_m2:.4f} to {structure.poor_gb_energy_j_m2:.4f} {UNIT}"
            " between the limits of the chemical potentials"
        )
    if structure.energies_from == "surfaces":
        remarks.append("energy of two free surfaces subtracted")
    if structure.strain_energy_j_m2:
        remarks.append(f"strain energy of {structure.strain_energy_j_m2:.4f} {UNIT} not counted")
    if structure.converged is False:
        remarks.append("not converged: the energy is an upper bound")
    return "; ".join(filter(None, remarks))


def format_number(value: float | None, digits: int) -> str:
    """Number with fixed decimals; a dash if it is not known."""
    return "-" if value is None or value != value else f"{value:.{digits}f}"


def source_table(comparison: SourceComparison) -> Table:
    """Table of a comparison for the terminal; the lowest energy at each [n] is green."""
    table = new_table(f"Lowest GB energies ({UNIT})", show_footer=True)
    table.add_column(Text("[n]"), justify="right", footer="tried")
    for source in comparison.sources:
        table.add_column(source, justify="right", footer=f"{comparison.tallies[source].tried:,}")
    for row in comparison.rows:
        cells = [Text.assemble(*_styled(row, source)) for source in comparison.sources]
        table.add_row(format_fraction(row.n_fraction), *cells)
    return table


def _styled(row: FractionRow, source: str) -> list[tuple[str, str]]:
    if source not in row.best_j_m2:
        return [("-", "dim")]
    return [
        (f"{row.best_j_m2[source]:.3f}", "bold green" if row.leads(source) else ""),
        (f" ({row.num[source]:,})", "dim"),
    ]


def source_markdown(comparison: SourceComparison) -> str:
    """Table of a comparison in Markdown; the lowest energy at each [n] is bold."""
    lines = [
        "| " + " | ".join(["[n]", *comparison.sources]) + " |",
        "|--:" * (1 + len(comparison.sources)) + "|",
    ]
    for row in comparison.rows:
        lines.append(
            "| "
            + " | ".join(
                [
                    format_fraction(row.n_fraction),
                    *(_cell(row, source) for source in comparison.sources),
                ]
            )
            + " |"
        )
    for name in ("tried", "ok", "invalid", "failed"):
        counts = [f"{getattr(comparison.tallies[source], name):,}" for source in comparison.sources]
        lines.append("| " + " | ".join([name, *counts]) + " |")
    return "\n".join(lines) + "\n"


def _cell(row: FractionRow, source: str) -> str:
    if source not in row.best_j_m2:
        return "-"
    energy = f"{row.best_j_m2[source]:.3f}"
    return f"{f'**{energy}**' if row.leads(source) else energy} ({row.num[source]:,})"


def format_fraction(n_fraction: float) -> str:
    """[n] with at most four digits: 0.2, 0.125, 0.3333."""
    return f"{n_fraction:.4g}"
