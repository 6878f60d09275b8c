"""What `gcd-hpc verify` says: a table of checks, and a sentence for each thing that is wrong."""

from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gcd_hpc.store.findings import CHECKS, Report

SHOWN = 20
"""Findings of one check that are written out."""
_STYLES = {"ok": "green", "failed": "bold red", "not checked": "dim"}


def checks_view(path: Path, report: Report) -> RenderableType:
    """Table, findings, verdict."""
    table = Table("check", "what must hold", "looked at", "", title=Text(str(path)), title_justify="left")
    table.columns[2].justify = "right"
    lines: list[Text] = []
    for name, outcome in report.outcomes.items():
        verdict = Text(outcome.status, style=_STYLES[outcome.status])
        table.add_row(name, Text(CHECKS[name]), f"{outcome.num:,}", verdict)
        lines += [Text(str(finding), overflow="fold") for finding in outcome.findings[:SHOWN]]
        if outcome.num_wrong > SHOWN:
            lines.append(Text(f"... and {outcome.num_wrong - SHOWN:,} more findings of the check {name}"))
        lines += [Text(f"not checked ({name}): {reason}", style="dim", overflow="fold") for reason in outcome.skipped[:SHOWN]]
    return Group(table, *lines, _verdict(report))


def _verdict(report: Report) -> Text:
    if report.is_sound:
        return Text("nothing wrong was found", style="green")
    num = sum(outcome.num_wrong for outcome in report.outcomes.values())
    return Text(f"{num:,} {'thing is' if num == 1 else 'things are'} wrong", style="bold red")
