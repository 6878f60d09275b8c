"""Terminal output of ``gcd-hpc verify`` (checks and findings) and ``gcd-hpc merge`` (counts)."""

from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gcd_hpc.campaign.table import new_table
from gcd_hpc.store.findings import CHECKS, Report
from gcd_hpc.store.merge import Merged

SHOWN = 20
"""Largest number of findings of one check that are printed."""
_STYLES = {"ok": "green", "failed": "bold red", "not checked": "dim"}


def checks_view(path: Path, report: Report) -> RenderableType:
    """Table of all checks, their findings, and the verdict."""
    table = new_table(str(path))
    for heading in ("check", "what must hold", "looked at", ""):
        table.add_column(heading)
    table.columns[2].justify = "right"
    lines: list[Text] = []
    for name, outcome in report.outcomes.items():
        verdict = Text(outcome.status, style=_STYLES[outcome.status])
        table.add_row(name, Text(CHECKS[name]), f"{outcome.num:,}", verdict)
        lines += [Text(str(finding), overflow="fold") for finding in outcome.findings[:SHOWN]]
        if outcome.num_wrong > SHOWN:
            lines.append(
                Text(f"... and {outcome.num_wrong - SHOWN:,} more findings of the check {name}")
            )
        lines += [
            Text(f"not checked ({name}): {reason}", style="dim", overflow="fold")
            for reason in outcome.skipped[:SHOWN]
        ]
    return Group(table, *lines, _verdict(report))


def _verdict(report: Report) -> Text:
    if report.is_sound:
        return Text("nothing wrong was found", style="green")
    num = sum(outcome.num_wrong for outcome in report.outcomes.values())
    return Text(f"{num:,} {'thing is' if num == 1 else 'things are'} wrong", style="bold red")


def merged_table(merged: Merged) -> Table:
    """Table of each run's candidates: read, dropped as duplicates, kept."""
    table = new_table()
    for heading in ("run", "read", "dropped", "kept"):
        table.add_column(heading, justify="left" if heading == "run" else "right")
    for row in merged.by_run():
        table.add_row(
            Text(row["run"]), f"{row['read']:,}", f"{row['dropped']:,}", f"{row['kept']:,}"
        )
    if len(merged.read) > 1:
        table.add_section()
        table.add_row(
            "all", f"{merged.num_read:,}", f"{merged.num_dropped:,}", f"{merged.num_kept:,}"
        )
    return table
