"""Report of a set of boundaries as a document: an overview, and a page a boundary."""

from gcd_hpc.accounts.cost import cost_of
from gcd_hpc.browse.figures import egb_vs_n
from gcd_hpc.browse.overview import ABOUT, Overview, OverviewRow, compact, overview
from gcd_hpc.browse.overview_figure import overview_figure
from gcd_hpc.browse.report.document import (
    Block,
    Document,
    Facts,
    Listing,
    Paragraph,
    Section,
    picture,
    table,
)
from gcd_hpc.browse.report.facts import (
    boundary_facts,
    cost_line,
    day,
    origin_facts,
    potential_facts,
    state_line,
    title_of,
)
from gcd_hpc.browse.report.found import Found
from gcd_hpc.browse.report.phase_blocks import nothing, number, phase_table, views_of
from gcd_hpc.browse.report.run_report import METHOD, about, settings_note
from gcd_hpc.browse.tables import format_fraction
from gcd_hpc.campaign.ledger import read_state
from gcd_hpc.campaign.portable import portable_config
from gcd_hpc.campaign.state import State
from gcd_hpc.config.reader import write
from gcd_hpc.errors import GcdError, StoreError
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.run_set import RunSet

SMALL = 0.6
"""Size of the figure of energies on the page of a boundary, which also has its phases."""
HEADINGS = (
    *("boundary", "kind", "Σ", "angle (°)", "planes", "E_gb (J/m²)", "[n]", "low", "tries"),
    *("core s", "state"),
)


def set_document(opened: RunSet) -> Document:
    """Report of a set.

    Raises:
        StoreError: if no boundary has begun.
        GcdError: if the set cannot be read.
    """
    rows = overview(opened.path)
    begun = [row for row in rows.rows if row.tries and not row.problem]
    if not begun:
        raise StoreError(f"{opened.path}: nothing to report: no boundary has begun yet")
    state = read_state(opened.path)
    pages = [_page(opened, row) for row in begun]
    first = Found.of(opened.directory(begun[0].boundary))
    kept = portable_config(opened.config.plain(), RunDirectory(first.run.path))
    when = day(state) or day(first.state)
    return Document(
        f"Grain boundaries of {' and '.join(sorted({row.elements for row in rows.rows}))}",
        f"Set {opened.config.name}: {len(rows.rows)} boundaries"
        + (f", results of {when}" if when else ""),
        about(first.run),
        (
            Section("Summary", (_summary(rows, state), Paragraph(METHOD, is_note=True))),
            Section("Overview", tuple(_overview(rows))),
            Section("Potential", (potential_facts(first.run),)),
            Section("Origin", (origin_facts(first.run, first.state),)),
            Section("Boundaries", (Paragraph("Each boundary with its phases."),)),
            *pages,
            Section("Settings", (settings_note(), Listing(write(kept))), starts_page=True),
        ),
    )


def _summary(rows: Overview, own: State | None) -> Facts:
    done = [row for row in rows.rows if row.id]
    shared_s = 0.0 if own is None else cost_of(own).core_s
    core_s = shared_s + sum(row.core_s for row in rows.rows)
    facts = [
        ("boundaries", f"{len(rows.rows)}, {len(done)} with relaxed structures"),
        ("candidates", f"{sum(row.tries for row in rows.rows):,} tried"),
        ("cost", cost_line(None, core_s)),
    ]
    if done:
        best = min(done, key=lambda row: row.gb_energy_j_m2)
        words = f"{best.gb_energy_j_m2:.4f} J/m², {best.title} ({best.boundary})"
        facts.append(("lowest energy", words))
    return Facts(tuple(facts))


def _overview(rows: Overview) -> list[Block]:
    cells = [_cells(row) for row in rows.rows]
    blocks: list[Block] = [table(f"All boundaries; {ABOUT}.", HEADINGS, cells, left=(0, 1, 4, 10))]
    if any(row.id for row in rows.rows):
        caption = (
            "Lowest energy of each boundary against misorientation. Light points are the lowest of"
            " the other [n]."
        )
        blocks.append(picture(overview_figure(rows), caption))
    problems = [f"{row.boundary}: {row.problem}" for row in rows.rows if row.problem]
    return [*blocks, *(Paragraph(text, is_note=True) for text in problems)]


def _cells(row: OverviewRow) -> tuple[str, ...]:
    planes = [compact(one) for one in (row.plane, row.upper_plane) if one is not None]
    return (
        row.boundary,
        row.kind,
        "–" if row.sigma is None else str(row.sigma),
        f"{row.misorientation_deg:.2f}",
        " ".join(planes) or "–",
        number(row.gb_energy_j_m2, 4),
        format_fraction(row.n_fraction) if row.id else "–",
        f"{row.num_low:,}",
        f"{row.tries:,}",
        f"{row.core_s:,.0f}",
        row.status,
    )


def _page(opened: RunSet, row: OverviewRow) -> Section:
    """Facts, energies and phases of one boundary."""
    try:
        found = Found.of(opened.directory(row.boundary))
    except GcdError as error:
        return Section(row.boundary, (Paragraph(str(error), is_note=True),), level=3)
    facts = boundary_facts(found.run)
    more = (("state", state_line(found.state)), ("cost", cost_line(found.state, found.core_s)))
    blocks: list[Block] = [Facts((*facts.rows, *more))]
    if found.phases:
        best = min(found.phases, key=lambda one: one.gb_energy_j_m2)
        caption = "Energy of every relaxed boundary against [n]."
        blocks.append(picture(egb_vs_n(found.run), caption, SMALL))
        blocks += [*views_of(found, [best]), phase_table(found)]
    else:
        blocks.append(nothing(found))
    title = f"{row.boundary}: {title_of(found.run)}"
    return Section(title, tuple(blocks), level=3, starts_page=True)
