"""Events of made-up campaigns."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gcd_hpc.campaign.events import Event, Failed, FailureClass, Finished, Lost, Opened, Submitted
from gcd_hpc.campaign.ledger import LedgerReader
from gcd_hpc.campaign.state import State
from gcd_hpc.stages.plan import Plan
from gcd_hpc.stages.result import StageResult
from gcd_hpc.stages.table import Task

PLANES = 10
"""[n] counts tenths."""


def opened(plan: Plan, elapsed_s: float = 0.0, **more: Any) -> Opened:
    known = {"token": "token", "pid": 1, "created": 0.0, "ledger": 2}
    return Opened(plan=plan, elapsed_s=elapsed_s, **(known | more))


def submitted(*names: str, elapsed_s: float = 1.0) -> Submitted:
    return Submitted(tasks=tuple(map(Task.parse, names)), elapsed_s=elapsed_s)


def finished(
    name: str,
    elapsed_s: float = 1.0,
    *,
    started: float = 0.0,
    seconds: float = 1.0,
    work_s: float | None = None,
    time: float = 0.0,
    worker: str = "",
    num: int = 2,
    num_bytes: int = 0,
    best: dict[int, float] | None = None,
    **result: Any,
) -> Finished:
    """A task that took a core ``seconds``, with the lowest energies by tenths of [n]."""
    task = Task.parse(name)
    if task.stage == "promote":
        result = {"model": task.round, "promoted": True} | result
    found = StageResult(
        num=num,
        seconds=seconds if work_s is None else work_s,
        atoms_per_plane=PLANES,
        best=best or {},
        **result,
    )
    return Finished(
        task=task,
        result=found,
        started=started,
        seconds=seconds,
        cores=1,
        elapsed_s=elapsed_s,
        time=time,
        worker=worker,
        num_bytes=num_bytes,
    )


def failed(
    name: str,
    failure: FailureClass = "infrastructure",
    elapsed_s: float = 1.0,
    saved: float = 0.0,
) -> Failed:
    return Failed(
        task=Task.parse(name),
        reason="worker lost",
        failure=failure,
        elapsed_s=elapsed_s,
        saved=saved,
    )


def lost(*tasks: Task) -> list[Event]:
    return [Lost(task=task, reason="cut short", elapsed_s=1.0) for task in tasks]


def state_after(events: Iterable[Event]) -> State:
    """The state that a sequence of events leads to; the first opens the campaign."""
    state = None
    for event in events:
        state = State(event.plan) if state is None else state
        state.apply(event)
    assert state is not None
    return state


def read_events(run_dir: Path) -> list[Event]:
    """All events of a run's ledger."""
    return list(LedgerReader(run_dir).new_events())
