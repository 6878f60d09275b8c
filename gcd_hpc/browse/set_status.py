"""Status of a set of boundaries: one line each, and what the set does as a whole."""

from collections import Counter
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from gcd_hpc.browse.status import (
    COLOURS,
    ENDED,
    MEANING,
    UNREADABLE,
    Status,
    StatusReader,
    state_in_table,
    status_of,
)
from gcd_hpc.browse.tables import UNIT, format_fraction, format_number
from gcd_hpc.campaign.ledger import read_state
from gcd_hpc.campaign.progress import clock
from gcd_hpc.campaign.set_progress import shared_work
from gcd_hpc.campaign.state import State
from gcd_hpc.campaign.table import new_table
from gcd_hpc.errors import GcdError
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.run_set import RunSet

STYLES = {ENDED: "green", UNREADABLE: "red"} | {
    str(status): colour for status, colour in COLOURS.items()
}
MEMBER_KEYS = ("status", "reason", "doing", "elapsed_s", "tried", "failed_attempts", "quarantined")
"""Keys of a run's status that a line about a boundary has."""


class SetStatusReader:
    """Reader that follows a set; each call reads only the new lines of the ledgers."""

    def __init__(self, opened: RunSet) -> None:
        self._set = opened
        self._readers: dict[str, StatusReader] = {}

    def record(self) -> dict[str, Any]:
        """The status as plain data: the name of the set, and one record a boundary.

        Raises:
            RunDirectoryError: if the ledger of the set is damaged.
        """
        boundaries = [self._member(name) for name in self._set.campaigns]
        own = read_state(self._set.path)
        return {
            "name": self._set.config.name,
            "status": None if own is None else _status_of(own),
            "reason": "" if own is None else own.stopped or "",
            "elapsed_s": None if own is None else round(own.elapsed_s, 1),
            "doing": "" if own is None else shared_work(self._set.path, own),
            "model": None if own is None else own.models.get(own.round, 0),
            "failed_attempts": 0 if own is None else own.account.num_failed,
            "statuses": dict(Counter(one["status"] for one in boundaries)),
            "tried": sum(one["tried"] for one in boundaries),
            "boundaries": boundaries,
        }

    def _member(self, name: str) -> dict[str, Any]:
        folder = self._set.directory(name)
        if not RunDirectory(folder).ledger.is_file():
            status = state_in_table(None, RunDirectory(folder).is_run())
            return {"boundary": name, "status": status, "tried": 0}
        if name not in self._readers:
            self._readers[name] = StatusReader(folder)
        try:
            record = self._readers[name].record()
        except GcdError as error:
            return {"boundary": name, "status": UNREADABLE, "tried": 0, "reason": str(error)}
        lowest = [
            {"n_fraction": float(n), "gb_energy_j_m2": one["gb_energy_j_m2"]}
            for n, one in record["best"].items()
        ]
        best = min(lowest, key=lambda one: one["gb_energy_j_m2"], default={})
        status = state_in_table(self._readers[name].state())
        shown = {key: record[key] for key in MEMBER_KEYS} | {"status": status}
        return {"boundary": name, **shown, **best}


def _status_of(own: State) -> Status:
    """Status of the set from its own ledger, whose last line is the end of its session."""
    if own.stopped:
        return "failed" if own.failed else "complete"
    return status_of(own)


def set_status_view(record: dict[str, Any]) -> RenderableType:
    """The record of ``SetStatusReader`` formatted for the terminal."""
    num = len(record["boundaries"])
    counts = ", ".join(f"{count} {status}" for status, count in record["statuses"].items())
    head = Text.assemble((record["name"], "bold"), ": a set without a ledger of its own")
    if status := record["status"]:
        reason = f" ({record['reason']})" if record["reason"] else ""
        head = Text.assemble(
            (record["name"], "bold"),
            ": ",
            (status, f"bold {COLOURS[status]}"),
            f"{reason}: {MEANING[status]}; {clock(record['elapsed_s'])} of work so far",
        )
    if failed := record["failed_attempts"]:
        head.append(f"; {failed} failed attempts at the model: see gcd-hpc failures")
    all_of_them = Text(f"{num} boundaries: {counts}; {record['tried']:,} candidates tried")
    if record["doing"]:
        all_of_them.append(f"; {record['doing']}")
    table = new_table()
    for heading in ("boundary", "state", "tried", f"lowest ({UNIT})", "[n]", "time", "doing"):
        is_text = heading in ("boundary", "state", "doing")
        table.add_column(Text(heading), justify="left" if is_text else "right")
    for one in record["boundaries"]:
        failed = one.get("failed_attempts", 0) + one.get("quarantined", 0)
        remarks = (one.get("doing", ""), one.get("reason", ""), f"{failed} failures" * bool(failed))
        style = STYLES.get(one["status"], "dim")
        table.add_row(
            Text(one["boundary"]),
            Text(one["status"], style=style),
            f"{one['tried']:,}",
            format_number(one.get("gb_energy_j_m2"), 4),
            format_fraction(one["n_fraction"]) if "n_fraction" in one else "-",
            clock(one["elapsed_s"]) if "elapsed_s" in one else "-",
            Text("; ".join(filter(None, remarks))),
        )
    return Group(head, all_of_them, table)
