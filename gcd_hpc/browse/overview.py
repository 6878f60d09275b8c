"""Overview of many boundaries: one row each, with its character, lowest energy, work and status."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from gcd_hpc.accounts.sources import sources_of
from gcd_hpc.browse.reference import Reference
from gcd_hpc.browse.status import NOT_BEGUN, UNREADABLE, state_in_table
from gcd_hpc.browse.tables import UNIT, format_fraction, format_number
from gcd_hpc.campaign.ledger import read_state
from gcd_hpc.campaign.table import new_table
from gcd_hpc.config.loader import dump
from gcd_hpc.config.miller import Indices, spelled
from gcd_hpc.errors import GcdError, StoreError
from gcd_hpc.store.crystal import boundary_of, unit_crystal
from gcd_hpc.store.run import Run, open_run
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.run_set import RunSet
from gcd_hpc.structures.character import character_of

if TYPE_CHECKING:
    from pandas import DataFrame

ABOUT = (
    "angle: misorientation, of a symmetric tilt twice the angle from the plane of lowest indices to"
    " the boundary plane; low: unique structures near the lowest of their [n]"
    " (selection.energy_window_j_m2); core s: processor time, with the training of an own"
    " model and without that of a shared one"
)
"""What the columns of the table mean."""
ANGLE_DIGITS = 4
"""Decimals of an angle, degrees."""


@dataclass(frozen=True)
class OverviewRow:
    """One boundary. Angles are in degrees, areas in Å^2, energies in J/m^2, NaN where unknown.

    boundary: name of the member of the set, or of the run.
    elements: chemical symbols, joined by hyphens.
    kind, axis, misorientation_deg, sigma, plane, upper_plane: as in
    ``gcd_hpc.structures.character``; plane and upper_plane are None where slab files hold the
    grains.
    id, gb_energy_j_m2, n_fraction, converged: of the lowest structure; the id is empty without one.
    per_n: every [n] with its lowest energy.
    problem: why the files of a member of a set cannot be read; empty if they can.
    num_low: unique structures near the lowest of their [n].
    tries, core_s: candidates of every status, and the processor time of the whole run.
    status: of the campaign, "file" for a file of results, or one of the states of a table in
    ``gcd_hpc.browse.status``.
    reference_j_m2, above_j_m2: energy of the boundary in a list, and by how much the lowest lies
    above it.
    """

    boundary: str
    elements: str
    sigma: int | None
    axis: Indices
    plane: Indices | None
    upper_plane: Indices | None
    kind: str
    misorientation_deg: float
    atoms_per_plane: int
    area_a2: float = nan
    gb_energy_j_m2: float = nan
    n_fraction: float = nan
    id: str = ""
    converged: bool = False
    num_low: int = 0
    tries: int = 0
    core_s: float = 0.0
    status: str = NOT_BEGUN
    reference_j_m2: float = nan
    above_j_m2: float = nan
    per_n: tuple[tuple[float, float], ...] = ()
    problem: str = ""

    @property
    def rounded_angle(self) -> float:
        """Misorientation by which boundaries are ordered; equal angles differ by rounding."""
        return round(self.misorientation_deg, ANGLE_DIGITS)

    @property
    def title(self) -> str:
        """Sigma and plane as the literature has them, or the name where there is no plane.

        Planes of a cubic crystal are equal up to the signs of their indices.
        """
        if self.plane is None:
            return self.boundary
        is_cubic = len(self.plane) == 3
        plane = tuple(map(abs, self.plane)) if is_cubic else self.plane
        sigma = "" if self.sigma is None else f"Σ{self.sigma}"
        return sigma + compact(plane)


def compact(indices: Indices, brackets: str = "()") -> str:
    """Indices as figures show them: (210), or (11 4 0) where some have two digits or a sign."""
    is_short = all(0 <= index < 10 for index in indices)
    inside = "".join(map(str, indices))
    return f"{brackets[0]}{inside}{brackets[1]}" if is_short else spelled(indices, brackets)


@dataclass(frozen=True)
class Overview:
    """Rows of many boundaries, in the order of their kind, axis and angle."""

    rows: tuple[OverviewRow, ...]
    reference: Reference | None = None

    def records(self) -> list[dict[str, Any]]:
        """The rows as plain data; without a list of reference energies its fields are left out."""
        records = [asdict(row) for row in self.rows]
        for record in records:
            if self.reference is None:
                del record["reference_j_m2"], record["above_j_m2"]
        return records

    def to_dataframe(self) -> "DataFrame":
        """Pandas table with one row per boundary, indexed by its name, without per_n.

        Raises:
            GcdError: if pandas is not installed.
        """
        try:
            import pandas as pd  # not a dependency of this package
        except ImportError:
            raise GcdError(
                "to_dataframe: pandas is not installed; pip install pandas, or use records"
            ) from None
        return pd.DataFrame(self.records()).drop(columns="per_n").set_index("boundary")


def overview(*runs: str | Path, reference: str | Path | None = None) -> Overview:
    """Overview of the boundaries of a set, or of several runs.

    Args:
        runs: run directories of sets or of single campaigns, or files of results.
        reference: CSV file of known energies to compare with, see ``Reference.read``.

    Raises:
        GcdError: if a run or the list cannot be read, or if no boundary is in the list.
    """
    rows = sorted_rows(row_of(one) for one in members_of([Path(run) for run in runs]))
    if reference is None:
        return Overview(rows)
    known = Reference.read(Path(reference))
    return Overview(tuple(_compared(rows, known)), known)


def sorted_rows(rows: Iterable[OverviewRow]) -> tuple[OverviewRow, ...]:
    """Rows in the order of their kind, axis and angle."""
    return tuple(
        sorted(rows, key=lambda row: (row.kind, row.axis, row.rounded_angle, row.boundary))
    )


@dataclass(frozen=True)
class Member:
    """A run in an overview.

    config: its campaign as text, which a single run need not have.
    """

    name: str
    path: Path
    config: str
    is_in_set: bool


def members_of(paths: Sequence[Path]) -> list[Member]:
    """Members of sets and single runs, in this order.

    Names that two of them share are preceded by the folder of the set or of the run.
    """
    found = []
    for path in paths:
        if RunSet.is_set(path):
            opened = RunSet.open(path)
            found += [
                (path.absolute().name, Member(name, opened.directory(name), dump(config), True))
                for name, config in opened.campaigns.items()
            ]
        else:
            whole = path.absolute()
            name = whole.stem if path.is_file() else whole.name
            campaign = RunDirectory(path).config
            config = campaign.read_text(encoding="utf-8") if campaign.is_file() else ""
            found.append((whole.parent.name, Member(name, path, config, False)))
    counts = Counter(member.name for _, member in found)
    return [
        member if counts[member.name] == 1 else replace(member, name=f"{folder}/{member.name}")
        for folder, member in found
    ]


def row_of(member: Member) -> OverviewRow:
    """Row of one run. A member of a set whose files cannot be read has a row that says so.

    Raises:
        GcdError: if a single run cannot be read, or if it names no boundary.
    """
    if not member.is_in_set:
        run = open_run(member.path)
        config = run.provenance.get("config") or member.config
        return _with_results(_named_row(member, config), run)
    row = _named_row(member, member.config)
    if not RunDirectory(member.path).is_run():
        return row
    try:
        return _with_results(row, open_run(member.path))
    except GcdError as error:
        return replace(row, status=UNREADABLE, problem=str(error))


def _named_row(member: Member, config: str) -> OverviewRow:
    """Row of a boundary without results.

    Raises:
        GcdError: if the config names no boundary.
    """
    boundary, unit = boundary_of(config), unit_crystal(config)
    if boundary is None or unit is None:
        raise GcdError(
            f"{member.path}: has no place in an overview, because its config names no boundary;"
            " leave it out"
        )
    character = character_of(boundary, unit)
    plane, upper_plane = character.planes or (None, None)
    return OverviewRow(
        member.name,
        "-".join(boundary.symbols),
        character.sigma,
        character.axis,
        plane,
        upper_plane,
        character.kind,
        character.angle_deg,
        unit.atoms_per_plane,
    )


def _with_results(row: OverviewRow, run: Run) -> OverviewRow:
    """The row with what the run found and cost so far."""
    state = read_state(run.path) if run.path.is_dir() else None
    relaxed = run.relaxed()
    ranked = relaxed.sorted("id").sorted("gb_energy_j_m2").first_of_each_n()
    best = ranked.records(["id", "n_fraction", "gb_energy_j_m2", "converged"])
    sources = sources_of(run, state, relaxed)
    row = replace(
        row,
        area_a2=float(run[:1].columns(["area_a2"])["area_a2"][0]) if len(run) else nan,
        num_low=sum(one.unique_low for one in sources),
        tries=sum(one.tries for one in sources),
        core_s=sum(one.core_s for one in sources),
        status=state_in_table(state) if run.path.is_dir() else "file",
        per_n=tuple((one["n_fraction"], one["gb_energy_j_m2"]) for one in best),
    )
    if not best:
        return row
    lowest = min(best, key=lambda one: (one["gb_energy_j_m2"], one["id"]))
    return replace(row, **{name: lowest[name] for name in lowest})


def _compared(rows: Sequence[OverviewRow], reference: Reference) -> list[OverviewRow]:
    """Rows with their energies in a list.

    Raises:
        StoreError: if no row has one, or if the list does not tell elements apart.
    """
    reference.check({row.elements for row in rows})
    found = []
    for row in rows:
        listed = reference.energy_of(
            row.elements, row.kind, row.axis, row.plane, row.misorientation_deg
        )
        if listed is not None:
            above = row.gb_energy_j_m2 - listed
            row = replace(row, reference_j_m2=listed, above_j_m2=above)
        found.append(row)
    if all(row.reference_j_m2 != row.reference_j_m2 for row in found):
        raise StoreError(
            f"{reference.path}: none of the {len(reference.points)} boundaries in the list is in"
            " the overview; name them by plane, or by angle_deg, kind and axis"
        )
    return found


def csv_records(found: Overview) -> list[dict[str, Any]]:
    """The rows for a CSV table: indices as text such as (2 1 0), without per_n."""
    records = found.records()
    for record in records:
        del record["per_n"]
        record["axis"] = spelled(record["axis"], "<>")
        for name in ("plane", "upper_plane"):
            record[name] = "" if record[name] is None else spelled(record[name], "()")
        record["sigma"] = "" if record["sigma"] is None else record["sigma"]
    return records


def overview_table(found: Overview) -> Table:
    """The overview for the terminal, one line a boundary."""
    table = new_table()
    for heading in overview_headings(found):
        is_text = heading in ("boundary", "axis", "plane", "kind", "state")
        # Headings are Text, as rich would parse "[n]" as markup.
        table.add_column(Text(heading), justify="left" if is_text else "right")
    for row in found.rows:
        table.add_row(*map(Text, overview_cells(row, found.reference is not None)))
    return table


def overview_headings(found: Overview) -> list[str]:
    """Headings of the table."""
    energy = f"GB energy ({UNIT})"
    headings = ["boundary", "Sigma", "axis", "plane", "angle", "kind", "Å^2", "N", energy]
    headings += ["listed", "above it"] if found.reference is not None else []
    return [*headings, "[n]", "low", "tries", "core s", "state"]


def overview_remarks(found: Overview) -> str:
    """What the columns of the table mean, and how the energies compare with those of a list."""
    is_converged = all(row.converged for row in found.rows if row.id)
    remarks = [] if is_converged else ["* not converged: an upper bound"]
    remarks += [f"{row.boundary}: {row.problem}" for row in found.rows if row.problem]
    if found.reference is not None:
        remarks.append(_standing(found.rows, found.reference))
    return "\n".join([*remarks, ABOUT])


def overview_cells(row: OverviewRow, is_compared: bool = False) -> list[str]:
    """Cells of one line of the table."""
    planes = [row.plane] if row.kind == "symmetric tilt" else [row.plane, row.upper_plane]
    named = dict.fromkeys(compact(one) for one in planes if one is not None)
    energy = format_number(row.gb_energy_j_m2, 4)
    compared = [format_number(row.reference_j_m2, 3), format_signed(row.above_j_m2)]
    return [
        row.boundary,
        "-" if row.sigma is None else str(row.sigma),
        compact(row.axis, "<>"),
        " ".join(named) or "-",
        f"{row.misorientation_deg:.2f}",
        row.kind,
        format_number(row.area_a2, 1),
        str(row.atoms_per_plane),
        energy + ("*" if row.id and not row.converged else ""),
        *(compared if is_compared else []),
        format_fraction(row.n_fraction) if row.id else "-",
        f"{row.num_low:,}",
        f"{row.tries:,}",
        f"{row.core_s:,.0f}",
        row.status,
    ]


def format_signed(value: float) -> str:
    """Difference with its sign and three decimals; a dash if it is not known."""
    return "-" if value != value else f"{value:+.3f}"


def _standing(rows: Sequence[OverviewRow], reference: Reference) -> str:
    """How many boundaries reached the energies of a list."""
    known = [row.above_j_m2 for row in rows if row.above_j_m2 == row.above_j_m2]
    listed = [row for row in rows if row.reference_j_m2 == row.reference_j_m2]
    reached = sum(round(one, 3) <= 0 for one in known)
    return (
        f"listed: {reference.title} of {reference.path.name}; {reached} of {len(listed)} boundaries"
        " in the list are at or below it (to 0.001 J/m^2)"
    )
