"""Failures of a run with their reasons: failed or refused candidates, and failed tasks."""

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.text import Text

from gcd_hpc.campaign.ledger import read_state
from gcd_hpc.campaign.state import State
from gcd_hpc.campaign.table import new_table
from gcd_hpc.store.run import Run, open_run
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.run_set import RunSet

INVALID = "invalid"
CLASSES = ("mistake", "bug", "infrastructure", "physics", INVALID)
"""Classes of failures, the most urgent first."""
ALL = "(all)"
"""In place of a boundary, for what is done for all boundaries of a set."""
MAX_LISTED = 50
# Numbers in a reason, except signals and exit codes, which distinguish kinds of failure.
_NUMBER = re.compile(
    r"(?<!signal )(?<!code )(?<![\w.#-])-?(?:\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|nan|inf)\b(?!\.\w)"
)


def failure_rows(run_dir: str | Path) -> list[dict[str, Any]]:
    """Records of all failures, sorted by class; the campaign may be running.

    Keys are ``name`` (of a candidate or task), ``kind``, ``class``, ``reason``, ``outcome``, and
    ``quarantine``, the folder with input and traceback, if any.

    Raises:
        GcdError: if there is no such run or one of its files is damaged.
    """
    run_dir = Path(run_dir)
    run = open_run(run_dir)
    tasks = _task_rows(read_state(run_dir) if run_dir.is_dir() else None)
    return sorted(tasks + _candidate_rows(run), key=lambda row: CLASSES.index(row["class"]))


def set_failure_rows(opened: RunSet) -> list[dict[str, Any]]:
    """``failure_rows`` of all boundaries of a set that have begun; the first key is ``boundary``.

    It is ``ALL`` for tasks that the set does for all of them.

    Raises:
        GcdError: if one of their files is damaged.
    """
    begun = (name for name in opened.campaigns if RunDirectory(opened.directory(name)).is_run())
    rows = [
        {"boundary": name, **row} for name in begun for row in failure_rows(opened.directory(name))
    ]
    rows += [{"boundary": ALL, **row} for row in _task_rows(read_state(opened.path))]
    return sorted(rows, key=lambda row: CLASSES.index(row["class"]))


def _task_rows(state: State | None) -> list[dict[str, Any]]:
    """One record per failed attempt; a task's last record has its final outcome."""
    attempts = state.account.attempts if state is not None else {}
    return [
        _row(one.task.name, "task", one.failure, one.reason, one.outcome)
        for of_task in attempts.values()
        for one in of_task
    ]


def _candidate_rows(run: Run) -> list[dict[str, Any]]:
    found = []
    failed = run.select(f"status=failed,{INVALID}")
    for record in failed.records(["id", "status", "failure", "reason"]):
        # Part files of schema version 1 hold physics only.
        kind = INVALID if record["status"] == INVALID else record["failure"] or "physics"
        outcome = {INVALID: "refused", "bug": "quarantined"}.get(kind, "recorded")
        folder = RunDirectory(run.path).quarantine(record["id"]) if kind == "bug" else None
        found.append(_row(record["id"], "candidate", kind, record["reason"], outcome, folder))
    return found


def _row(
    name: str, kind: str, failure: str, reason: str, outcome: str, folder: Path | None = None
) -> dict[str, Any]:
    quarantine = str(folder) if folder is not None and folder.is_dir() else None
    return {
        "name": name,
        "kind": kind,
        "class": failure,
        "reason": reason,
        "outcome": outcome,
        "quarantine": quarantine,
    }


def general(reason: str) -> str:
    """Reason with its numbers replaced by #, by which failures are grouped."""
    return _NUMBER.sub("#", reason)


def summed_up(reasons: Sequence[str]) -> str:
    """Summary of reasons that differ only in numbers: ``got 0.31 to 0.74 Å``."""
    texts = _NUMBER.split(reasons[0])
    columns = zip(*(_NUMBER.findall(reason) for reason in reasons), strict=True)
    numbers = [sorted(set(column), key=float) for column in columns]
    shown = [" to ".join(dict.fromkeys((one[0], one[-1]))) for one in numbers]
    return "".join(text + number for text, number in zip(texts, [*shown, ""], strict=True))


def counts(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Number of failures with each reason, by class, the most frequent first.

    ``names`` are those of the first MAX_LISTED candidates or tasks; in a set they stand behind the
    boundary's name and a dot, as in a merged file.
    """
    reasons: dict[tuple[int, str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        place = CLASSES.index(row["class"])
        reasons[place, row["kind"], general(row["reason"])].append(row)
    order = sorted(reasons.items(), key=lambda item: (item[0][0], -len(item[1]), item[0]))
    return [
        {
            "class": CLASSES[place],
            "kind": kind,
            "reason": summed_up([row["reason"] for row in equal]),
            "num": len(equal),
            "names": [
                f"{row['boundary']}.{row['name']}" if "boundary" in row else row["name"]
                for row in equal[:MAX_LISTED]
            ],
        }
        for (place, kind, _), equal in order
    ]


def listed(rows: Sequence[dict[str, Any]], every: bool) -> list[dict[str, Any]]:
    """Rows to list one by one; structures refused before relaxation only with ``every``."""
    return [row for row in rows if every or row["class"] != INVALID]


def failures_json(rows: Sequence[dict[str, Any]], every: bool = False) -> str:
    """Counts and list as JSON."""
    return json.dumps({"counts": counts(rows), "failures": listed(rows, every)}, indent=2)


def failures_table(rows: Sequence[dict[str, Any]], every: bool = False) -> Group:
    """Counts by class and reason, then at most MAX_LISTED failures, or all with ``every``."""
    summary = new_table("Failures")
    for heading in ("class", "of", "number", "such as", "reason"):
        summary.add_column(
            heading,
            justify="right" if heading == "number" else "left",
            no_wrap=heading == "such as",
        )
    for count in counts(rows):
        name, *_ = count["names"]
        cells = (count["class"], count["kind"], f"{count['num']:,}")
        summary.add_row(*cells, Text(name), Text(count["reason"]))
    wanted = listed(rows, every)
    if not wanted:
        summary.caption = None if rows else "none"
        return Group(summary)
    table = new_table()
    member = ("boundary",) if any("boundary" in row for row in wanted) else ()
    for heading in (*member, "name", "class", "then", "reason"):
        table.add_column(heading)
    shown = wanted if every else wanted[:MAX_LISTED]
    for row in shown:
        where = f"\n{row['quarantine']}" if row["quarantine"] else ""
        names = [Text(row[key]) for key in (*member, "name")]
        table.add_row(*names, row["class"], row["outcome"], Text(row["reason"] + where))
    if len(shown) < len(wanted):
        table.caption = f"{len(wanted) - len(shown):,} more; --all lists them"
    return Group(summary, Text(), table)
