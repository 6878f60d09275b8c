"""Plan of a campaign for a terminal: ``gcd-hpc campaign FILE --plan``."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from gcd_hpc.campaign.estimate import StageEstimate, total_core_h, wall_h
from gcd_hpc.campaign.table import new_table
from gcd_hpc.config.site import SiteConfig

BOUNDARY_WORK = "an embedded-atom potential"
MATERIAL_WORK = "Tersoff's potential and spectra by FEFF10"
"""Work that the times of one core are those of."""


def plan_table(
    stages: Sequence[StageEstimate], site: SiteConfig, work_of: str = BOUNDARY_WORK
) -> RenderableType:
    """Tasks, expected core-hours and disk space of every stage, and the heading of its commands.

    Args:
        work_of: work that the times of one core are those of.
    """
    table = new_table(show_footer=True)
    disk = sum(stage.disk_bytes for stage in stages)
    hours = [wall_h(stage, site) for stage in stages]
    # In barrier mode the times of the stages add up; in asynchronous mode the overlap is unknown.
    takes_turns = site.mode == "barrier"
    known = [one for one in hours if one is not None]
    wall = sum(known) if takes_turns and len(known) == len(hours) else None
    columns = {
        "stage": "all",
        "tasks": "",
        "work": "",
        "core-hours": f"{total_core_h(stages):.2f}",
        "wall hours": _hours(wall),
        "disk": _size(disk),
    }
    for heading, footer in columns.items():
        table.add_column(heading, footer=footer, justify="left" if heading == "stage" else "right")
    for stage, stage_h in zip(stages, hours, strict=True):
        work = f"{stage.num_items:,} {stage.unit}"
        table.add_row(
            stage.stage,
            f"{stage.num_tasks:,}",
            work,
            f"{stage.core_h:.2f}",
            _hours(stage_h),
            _size(stage.disk_bytes),
        )
    remark = Text(
        f"Core-hours are those of one core of the machine in benchmarks/RESULTS.md, for {work_of};"
        " wall hours are those of the work alone on this site's workers.",
        style="dim",
    )
    return Group(table, remark, Text(f"\nOn the site {site.name}, mode {site.mode}:", style="bold"))


def _hours(hours: float | None) -> str:
    return "?" if hours is None else f"{hours:.2f}"


def _size(num_bytes: float) -> str:
    if not num_bytes:
        return "-"
    return f"{num_bytes / 1e6:,.0f} MB" if num_bytes < 1e9 else f"{num_bytes / 1e9:,.1f} GB"
