"""Status of a running or finished campaign, read from its ledger and files."""

import socket
import time
from pathlib import Path
from typing import Any, Literal

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gcd_hpc.campaign.display import best_table, sources_table
from gcd_hpc.campaign.inventory import uncounted
from gcd_hpc.campaign.ledger import LedgerReader, read_state
from gcd_hpc.campaign.progress import Pace, best_so_far, clock, expected_end, snapshot
from gcd_hpc.campaign.state import State
from gcd_hpc.campaign.table import new_table
from gcd_hpc.config.loader import load_any_campaign
from gcd_hpc.errors import RunDirectoryError
from gcd_hpc.stages.merit import MERITS
from gcd_hpc.stages.table import Kind, phase_name, phase_order
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.workers.reaper import is_alive

Status = Literal["running", "paused", "complete", "failed", "interrupted"]
MEANING: dict[Status, str] = {
    "running": "a driver is at work",
    "paused": "stopped by a signal; run the same command again to resume",
    "complete": "nothing is left to do",
    "failed": "stopped by an error; mend it, then run the same command again",
    "interrupted": "its driver was killed; run the same command again to resume",
}
FIGURES: dict[Kind, str] = {"boundary": "gb_energy_j_m2", "material": "spectrum_error"}
"""Field of a candidate that holds its figure of merit."""
COLOURS: dict[Status, str] = {
    "running": "green",
    "complete": "green",
    "paused": "yellow",
    "interrupted": "yellow",
    "failed": "red",
}


def state_of(run_dir: Path) -> State:
    """State of a run from its ledger.

    Raises:
        RunDirectoryError: if no campaign was started there, or its ledger is damaged.
    """
    return _needed(run_dir, read_state(run_dir))


def _needed(run_dir: Path, state: State | None) -> State:
    if state is None:
        raise RunDirectoryError(
            f"{run_dir}: is not the run directory of a campaign, because it holds no events.jsonl;"
            " start one with gcd-hpc campaign"
        )
    return state


def status_of(state: State) -> Status:
    """Status of a campaign as seen from this host."""
    if state.reported:
        return "complete"
    if state.failed:
        return "failed"
    if state.paused:
        return "paused"
    last = state.account.sessions[-1]
    # A driver on another host cannot be checked, so the ledger is believed.
    is_here = last.host in ("", socket.gethostname())
    return "running" if not is_here or is_alive(last.pid, last.created) else "interrupted"


NOT_BEGUN = "not begun"
"""State of a boundary without a run in a table of many."""
NO_LEDGER = "no ledger"
"""State of candidates without a campaign."""
ENDED = "ended"
"""State of a boundary that has ended while the driver goes on with others of the set."""
UNREADABLE = "cannot be read"
"""State of a boundary whose files are damaged."""


def state_in_table(state: State | None, is_begun: bool = True) -> str:
    """Status of one of many runs.

    Args:
        is_begun: whether there is a run directory.
    """
    if state is None:
        return NO_LEDGER if is_begun else NOT_BEGUN
    status = status_of(state)
    return ENDED if status == "running" and state.stopped else status


class StatusReader:
    """Reader that follows a run; each call reads only the new lines of the ledger."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir, self._reader = run_dir, LedgerReader(run_dir)
        self._pace = Pace()

    def state(self) -> State | None:
        """State of the campaign; None if none was started there.

        Raises:
            RunDirectoryError: if the ledger is damaged.
        """
        return self._reader.refresh()

    def record(self) -> dict[str, Any]:
        """The status as plain data.

        Raises:
            RunDirectoryError: if no campaign was started there, or its ledger is damaged.
        """
        state = _needed(self._run_dir, self.state())
        return _record(self._run_dir, state, self._pace)


def _record(run_dir: Path, state: State, pace: Pace) -> dict[str, Any]:
    config, status = load_any_campaign(RunDirectory(run_dir).config), status_of(state)
    elapsed_s = state.elapsed_s
    if status == "running" and state.time:
        elapsed_s += max(0.0, time.time() - state.time)
    now = snapshot(config, state, run_dir, elapsed_s, pace)
    phases = sorted(state.num_done, key=phase_order)
    submitted = {task.name for task in state.submitted}
    at_work = submitted & set(RunDirectory(run_dir).begun_tasks()) if status == "running" else set()
    return {
        "name": config.name,
        "status": status,
        "reason": state.stopped,
        "mode": state.plan.mode,
        "doing": now.headline() if now.stage is not None else "",
        "improvements": list(now.improvements),
        "sources": {
            name: {"improvements": num, "lowest_of": list(held)}
            for name, (num, held) in now.sources.items()
        },
        "elapsed_s": round(elapsed_s, 1),
        "remaining_s": now.campaign_s if status == "running" else None,
        "model": state.models.get(state.round, 0),
        "rounds": state.plan.rounds,
        "tried": state.num_tried,
        "done": {phase_name(*phase): state.num_done[phase] for phase in phases},
        "running": sorted(at_work),
        "waiting": len(state.waiting),
        "failed_attempts": state.account.num_failed,
        "quarantined": state.num_quarantined + len(state.quarantined),
        "uncounted": 0 if status == "running" else sum(1 for _ in uncounted(run_dir, state)),
        "kind": state.plan.kind,
        "best": {
            group: {FIGURES[state.plan.kind]: value, "source": source}
            for group, (value, source) in best_so_far(state).items()
        },
    }


def status_view(record: dict[str, Any]) -> RenderableType:
    """The record of ``StatusReader`` formatted for the terminal."""
    status: Status = record["status"]
    colour, end = COLOURS[status], expected_end(record["remaining_s"])
    reason = f" ({record['reason']})" if record["reason"] else ""
    lines = [
        Text.assemble(
            (record["name"], "bold"),
            ": ",
            (status, f"bold {colour}"),
            f"{reason}: {MEANING[status]}",
        ),
        Text(
            f"{record['doing']}{'; ' if record['doing'] else ''}{clock(record['elapsed_s'])} of"
            f" work so far, mode {record['mode']}{f'; {end}' if end else ''}"
        ),
    ]
    if record["improvements"]:
        lines.append(Text(f"last improvement: {record['improvements'][-1]}"))
    if record["running"]:
        names = record["running"]
        shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
        lines.append(
            Text(
                f"at work: {shown}"
                + (f"; {record['waiting']} relaxations wait" if record["waiting"] else "")
            )
        )
    if record["failed_attempts"] or record["quarantined"]:
        lines.append(
            Text(
                f"{record['failed_attempts']} failed attempts, {record['quarantined']} set aside:"
                " see gcd-hpc failures"
            )
        )
    if record["uncounted"]:
        lines.append(
            Text(
                f"{record['uncounted']} parts on disk that the ledger does not tell of: its end was"
                " cut off; the campaign command counts them"
            )
        )
    kind: Kind = record["kind"]
    best = {group: (one[FIGURES[kind]], one["source"]) for group, one in record["best"].items()}
    sources = {
        name: (one["improvements"], tuple(one["lowest_of"]))
        for name, one in record["sources"].items()
    }
    tables = [_tasks_table(record), best_table(best, MERITS[kind])]
    tables.append(sources_table(sources, MERITS[kind]))
    return Group(*lines, Columns(tables, padding=(0, 4)))


def _tasks_table(record: dict[str, Any]) -> Table:
    table = new_table()
    table.add_column("stage")
    table.add_column("tasks done", justify="right")
    for name, num in record["done"].items():
        table.add_row(name, f"{num:,}")
    return table
