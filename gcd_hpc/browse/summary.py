"""What a run found and what it cost: one page that is left in the run directory."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from gcd_hpc.browse.tables import (
    TIE_J_M2,
    UNIT,
    best_by_source,
    format_fraction,
    source_markdown,
    top_rows,
)
from gcd_hpc.files import replacing
from gcd_hpc.store.index import RunStore
from gcd_hpc.store.provenance import campaign_of
from gcd_hpc.store.run_directory import RunDirectory


@dataclass(frozen=True)
class StageCost:
    """What one stage used, over all rounds."""

    stage: str
    wall_s: float
    core_s: float
    count: int
    """Things that it made: candidates, training steps."""


def write_summary(run_dir: str | Path, timings: Mapping[str, StageCost]) -> Path:
    """Write RUN/summary.md: energies per [n] and source, the lowest structures, the cost per stage,
    and the figure if it was drawn.
    """
    run = RunDirectory(run_dir)
    store = RunStore(run.path)
    blocks = [
        f"# {_name(store)}",
        *([f"![GB energy against [n]]({run.figure.name})"] if run.figure.is_file() else []),
        "## Lowest energies by source",
        (
            f"GB energy in {UNIT}, in brackets the number of relaxed candidates. "
            f"Bold: the lowest at this [n], within {1000 * TIE_J_M2:g} mJ/m^2."
        ),
        source_markdown(best_by_source(store)).rstrip(),
        "## Lowest structure of each [n]",
        _lowest_markdown(store),
        "## Where the time went",
        cost_markdown(timings),
    ]
    with replacing(run.summary) as temporary:
        temporary.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")
    return run.summary


def cost_markdown(timings: Mapping[str, StageCost]) -> str:
    """Wall time and core time of each stage and of all."""
    lines = [
        "| stage | count | wall s | core s | core s each | share of core s |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    lines += ["| " + " | ".join(cells) + " |" for cells in _cost_rows(timings)]
    return "\n".join(lines)


def cost_table(timings: Mapping[str, StageCost]) -> Table:
    """The same for the terminal."""
    table = Table(title="Where the time went", title_style="bold", header_style="bold", box=None)
    for heading in ("stage", "count", "wall s", "core s", "core s each", "share"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    for cells in _cost_rows(timings):
        table.add_row(*cells)
    return table


def _cost_rows(timings: Mapping[str, StageCost]) -> list[list[str]]:
    costs = list(timings.values())
    wall_s, core_s = sum(cost.wall_s for cost in costs), sum(cost.core_s for cost in costs)
    rows = [
        _cost_row(cost.stage, f"{cost.count:,}", cost.wall_s, cost.core_s, core_s, cost.count)
        for cost in costs
    ]
    return [*rows, _cost_row("all", "", wall_s, core_s, core_s, 0)]


def _cost_row(
    stage: str, count: str, wall_s: float, core_s: float, total_core_s: float, num: int
) -> list[str]:
    each = f"{core_s / num:.3g}" if num else ""
    share = f"{core_s / total_core_s:.1%}" if total_core_s > 0 else ""
    return [stage, count, f"{wall_s:,.1f}", f"{core_s:,.1f}", each, share]


def _lowest_markdown(store: RunStore) -> str:
    lines = [
        f"| [n] | GB energy ({UNIT}) | atoms | excess volume (Å) | candidate |",
        "|--:|--:|--:|--:|---|",
    ]
    for row in top_rows(store, per_n=True):
        energy = f"{row['gb_energy_j_m2']:.4f}" + ("" if row["converged"] else " (not converged)")
        volume = (
            ""
            if row["excess_volume_a"] != row["excess_volume_a"]
            else f"{row['excess_volume_a']:.3f}"
        )
        lines.append(
            f"| {format_fraction(row['n_fraction'])} | {energy} | {row['num_atoms']} | {volume} |"
            f" `{row['id']}` |"
        )
    return "\n".join(lines)


def _name(store: RunStore) -> str:
    config = store.provenance().get("config", "")
    return str(campaign_of(config).get("name", store.path.name))
