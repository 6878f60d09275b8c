"""Report of a set of boundaries: use of the shared pools, and the work of each boundary."""

from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from gcd_hpc.accounts.cost import cost_of
from gcd_hpc.accounts.report import pools_of
from gcd_hpc.accounts.sources import sources_of
from gcd_hpc.browse.usage import pool_rows
from gcd_hpc.campaign.ledger import read_state
from gcd_hpc.campaign.state import State
from gcd_hpc.campaign.table import new_table
from gcd_hpc.errors import StoreError
from gcd_hpc.store.run import Run
from gcd_hpc.store.run_set import RunSet

COUNTS = ("tries", "improvements", "unique_low")
"""Fields of the work by source that are added up for each boundary."""


def set_report_record(opened: RunSet) -> dict[str, Any]:
    """The report as plain data; times in seconds.

    ``core_s`` of a boundary does not hold the training of a model that boundaries share.

    Raises:
        StoreError: if no boundary has begun.
    """
    states = {name: read_state(opened.directory(name)) for name in opened.campaigns}
    own = read_state(opened.path)
    known = [state for state in (own, *states.values()) if state is not None]
    boundaries = [_member(name, run, states[name]) for name, run in opened.members.items()]
    if not (known or boundaries):
        raise StoreError(f"{opened.path}: nothing to report: no boundary has begun yet")
    shared_s = 0.0 if own is None else cost_of(own).core_s
    return {
        "name": opened.config.name,
        "pools": {pool: asdict(one) for pool, one in pools_of(known).items()},
        "core_s": shared_s + sum(one["core_s"] for one in boundaries),
        "shared_core_s": shared_s,
        "wasted_worker_s": sum(state.account.wasted_s for state in known),
        "failed_attempts": sum(state.account.num_failed for state in known),
        "dropped_tasks": sum(state.account.num_dropped for state in known),
        "quarantined_tasks": sum(state.account.num_quarantined for state in known),
        "boundaries": boundaries,
    }


def _member(name: str, run: Run, state: State | None) -> dict[str, Any]:
    sources = sources_of(run, state)
    counts = {key: sum(getattr(one, key) for one in sources) for key in COUNTS}
    return {"boundary": name, **counts, "core_s": sum(one.core_s for one in sources)}


def set_report_view(record: dict[str, Any]) -> RenderableType:
    """The record of ``set_report_record`` formatted for the terminal."""
    usage = new_table()
    for heading in ("what", "figure", "remark"):
        usage.add_column(heading)
    for row in pool_rows(record["pools"]):
        usage.add_row(*row)
    shared = f"{record['shared_core_s']:,.1f} s of them for what the boundaries share"
    usage.add_row("core-seconds", f"{record['core_s']:,.1f} s", shared)
    lost = (
        f"{record['failed_attempts']} failed attempts, {record['dropped_tasks']} tasks dropped,"
        f" {record['quarantined_tasks']} set aside"
    )
    usage.add_row("wasted worker time", f"{record['wasted_worker_s']:,.1f} s", lost)
    work = new_table("Work by boundary")
    for heading in ("boundary", "tries", "core s", "improvements", "unique low"):
        work.add_column(heading, justify="left" if heading == "boundary" else "right")
    for one in record["boundaries"]:
        work.add_row(
            Text(one["boundary"]),
            f"{one['tries']:,}",
            f"{one['core_s']:,.1f}",
            f"{one['improvements']:,}",
            f"{one['unique_low']:,}",
        )
    return Group(usage, work)
