"""Summary page of a run: its lowest energies and its costs."""

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from gcd_hpc.accounts.cost import Cost
from gcd_hpc.accounts.sources import SourceRecord
from gcd_hpc.browse.sources import work_markdown
from gcd_hpc.browse.tables import (
    TIE_J_M2,
    TOP_FIELDS,
    UNIT,
    best_by_source,
    format_fraction,
    format_number,
    source_markdown,
)
from gcd_hpc.campaign.table import new_table
from gcd_hpc.files import replacing
from gcd_hpc.store.makers import maker_name
from gcd_hpc.store.provenance import campaign_of
from gcd_hpc.store.run import Run, open_run
from gcd_hpc.store.run_directory import RunDirectory

COST_HEADINGS = ("stage", "count", "wall s", "core s", "core s each", "share of core s")


def write_summary(run_dir: str | Path, cost: Cost, sources: Sequence[SourceRecord]) -> Path:
    """Write RUN/summary.md: energies and work by source, lowest structures, costs, figure."""
    run = RunDirectory(run_dir)
    found = open_run(run.path)
    blocks = [
        f"# {_name(found)}",
        *([f"![GB energy against [n]]({run.figure.name})"] if run.figure.is_file() else []),
        "## Lowest energies by source",
        (
            f"GB energy in {UNIT}, in brackets the number of relaxed candidates. In-painting moves"
            " of exploration count as their model's. "
            f"Bold: the lowest at this [n], within {1000 * TIE_J_M2:g} mJ/m^2."
        ),
        source_markdown(best_by_source(found)).rstrip(),
        "## Work by source",
        work_markdown(sources),
        "## Lowest structure of each [n]",
        _lowest_markdown(found),
        "## Where the time went",
        cost_markdown(cost),
    ]
    with replacing(run.summary) as temporary:
        temporary.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")
    return run.summary


def cost_markdown(cost: Cost) -> str:
    """Markdown table of wall time and core time of each stage and in total."""
    lines = [
        "| " + " | ".join(COST_HEADINGS) + " |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    lines += ["| " + " | ".join(cells) + " |" for cells in cost_rows(cost)]
    return "\n".join(lines)


def cost_table(cost: Cost) -> Table:
    """Table of wall time and core time of each stage and in total, for the terminal."""
    table = new_table("Where the time went")
    for heading in ("stage", "count", "wall s", "core s", "core s each", "share"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    for cells in cost_rows(cost):
        table.add_row(*cells)
    return table


def cost_rows(cost: Cost) -> list[list[str]]:
    """Cells by COST_HEADINGS: of the stages that ran, of the overhead, and of all together."""
    ran = {name: one for name, one in cost.stages.items() if one.num_tasks}
    rows = [
        _cost_row(name, f"{one.num_items:,}", one.wall_s, one.core_s, cost.core_s, one.num_items)
        for name, one in ran.items()
    ]
    overhead = f"overhead ({cost.overhead_share:.1%} of the wall time)"
    wall_s = sum(one.wall_s for one in ran.values()) + cost.overhead_s
    return [
        *rows,
        _cost_row(overhead, "0", cost.overhead_s, 0.0, cost.core_s, 0),
        _cost_row("all", "", wall_s, cost.core_s, cost.core_s, 0),
    ]


def _cost_row(
    stage: str, count: str, wall_s: float, core_s: float, total_core_s: float, num: int
) -> list[str]:
    each = f"{core_s / num:.3g}" if num else ""
    share = f"{core_s / total_core_s:.1%}" if total_core_s > 0 else ""
    return [stage, count, f"{wall_s:,.1f}", f"{core_s:,.1f}", each, share]


def _lowest_markdown(run: Run) -> str:
    lines = [
        f"| [n] | GB energy ({UNIT}) | atoms | excess volume (Å) | candidate | source |",
        "|--:|--:|--:|--:|---|---|",
    ]
    for row in run.best_per_n().records(TOP_FIELDS):
        energy = f"{row['gb_energy_j_m2']:.4f}" + ("" if row["converged"] else " (not converged)")
        volume = format_number(row["excess_volume_a"], 3)
        lines.append(
            f"| {format_fraction(row['n_fraction'])} | {energy} | {row['num_atoms']} | {volume} |"
            f" `{row['id']}` | {maker_name(row['source'], row['version'], row['move'])} |"
        )
    return "\n".join(lines)


def _name(run: Run) -> str:
    config = run.provenance.get("config", "")
    return str(campaign_of(config).get("name", run.path.name))
