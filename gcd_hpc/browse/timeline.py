"""Timeline of a campaign: busy cores of each stage over time, from its ledger."""

import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gcd_hpc.browse.figures import GREY, new_figure
from gcd_hpc.browse.status import state_of, status_of
from gcd_hpc.campaign.ledger import read_state
from gcd_hpc.campaign.state import State
from gcd_hpc.errors import StoreError
from gcd_hpc.stages.table import STAGES, Stage, Task
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.run_set import RunSet

LANE = 0.78
"""Height of the curve of a fully busy stage, in units of the lane spacing."""
_UNITS = ((2.0, 3600.0, "h"), (3.0, 60.0, "min"), (0.0, 1.0, "s"))
"""Units of the time axis: smallest length in the unit, seconds per unit, name."""


@dataclass(frozen=True)
class Work:
    """One finished task; begin and end in seconds of campaign time, which leaves out pauses."""

    task: Task
    begin: float
    end: float
    cores: int
    core_s: float
    """Core-seconds: processor time; 0 of a task at work, which has not told it yet."""
    is_at_work: bool = False


def work_of(state: State) -> list[Work]:
    """Finished tasks, with their times converted to campaign time. What the set of a run did for it
    is not among them.

    The ledger has two clocks: a worker records the wall-clock time of a task, the driver the
    campaign time at which it saw the end. Their offset in each session is estimated from the task
    that was recorded with the smallest delay.
    """
    shifts: dict[int, float] = {}
    for done in state.finished.values():
        delay = done.elapsed_s - done.ended
        shifts[done.session] = min(delay, shifts.get(done.session, delay))
    work = []
    for task, done in state.finished.items():
        if done.is_shared:
            continue
        # A task recorded late, after its driver was killed, ended before this session began.
        opened_s = state.account.sessions[done.session].elapsed_s
        end = max(done.ended + shifts[done.session], opened_s)
        work.append(Work(task, max(end - done.seconds, 0.0), end, done.cores, done.core_s))
    return work


def at_work(run: Path, state: State, now: float) -> list[Work]:
    """Tasks that run at this moment, from their begin until now, in campaign time.

    Args:
        now: seconds since the epoch.
    """
    if status_of(state) != "running":
        return []
    directory = RunDirectory(run)
    end = state.elapsed_s + max(0.0, now - state.time) if state.time else state.elapsed_s
    running = []
    for task in state.submitted:
        with suppress(OSError, ValueError):  # not begun, ended meanwhile, or of an older version
            began, cores = directory.begun(task.name).read_text().split()
            begin = max(0.0, end - max(0.0, now - float(began)))
            running.append(Work(task, begin, end, int(cores), 0.0, is_at_work=True))
    return running


def timeline(run: Path) -> Figure:
    """Busy cores of each stage over campaign time, with failures and resumptions.

    Tasks that are at work are drawn paler, until now.

    That of a set has the tasks of all its boundaries.

    Raises:
        GcdError: if the run is no directory of a campaign, or no task has finished yet.
    """
    if run.is_file():
        raise StoreError(
            f"{run}: the timeline cannot be drawn from a single file, which has no ledger; name the"
            " run directory"
        )
    states, now = _states(run), time.time()
    done = [work for _, state in states for work in work_of(state)]
    done += [work for path, state in states for work in at_work(path, state, now)]
    if not done:
        raise StoreError(f"{run}: nothing to draw: no task has finished yet; wait for the first")
    stages = [stage for stage in STAGES if any(work.task.stage == stage for work in done)]
    figure = new_figure(9.0, 0.9 + 0.62 * len(stages))
    axes = figure.add_subplot()
    length = max(*(state.elapsed_s for _, state in states), *(work.end for work in done))
    _, unit_s, unit = next(one for one in _UNITS if length >= one[0] * one[1])
    most = max(
        _busy([work for work in done if work.task.stage == stage])[1].max() for stage in stages
    )
    for lane, stage in enumerate(reversed(stages)):
        _draw_lane(
            axes, lane, stage, [work for work in done if work.task.stage == stage], most, unit_s
        )
    _draw_failures(axes, [state for _, state in states], list(reversed(stages)), unit_s)
    for session in states[0][1].account.sessions[1:]:
        when = session.elapsed_s / unit_s
        axes.axvline(when, color=GREY, linewidth=0.8, linestyle=(0, (3, 3)), zorder=1)
        axes.annotate(
            "resumed",
            (when, 1),
            (2, 2),
            ("data", "axes fraction"),
            "offset points",
            fontsize=8,
            color=GREY,
        )
    axes.set_yticks(np.arange(len(stages)) + LANE / 2, list(reversed(stages)))
    axes.set_ylim(-0.12, len(stages) - 0.05)
    axes.set_xlim(0, length / unit_s)
    axes.set_xlabel(
        f"time of work ({unit}); a full lane is {int(most)} core{'s' if most > 1 else ''}"
    )
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return figure


def _states(run: Path) -> list[tuple[Path, State]]:
    """Directory and state of a run; of a set those of its own tasks and of each boundary that has
    begun.

    Raises:
        GcdError: if there is none, or a ledger is damaged.
    """
    if not RunSet.is_set(run):
        return [(run, state_of(run))]
    opened = RunSet.open(run)
    paths = [opened.directory(name) for name in opened.campaigns]
    members = [(path, read_state(path)) for path in paths]
    return [(run, state_of(run)), *((path, state) for path, state in members if state is not None)]


def _busy(done: Sequence[Work]) -> tuple[np.ndarray, np.ndarray]:
    """Times at which the number of busy cores changes, and the number from then on."""
    change: dict[float, int] = defaultdict(int)
    for work in done:
        change[work.begin] += work.cores
        change[work.end] -= work.cores
    moments = np.array(sorted(change))
    return moments, np.cumsum([change[moment] for moment in moments.tolist()])


def _draw_lane(
    axes: Axes, lane: int, stage: Stage, done: Sequence[Work], most: float, unit_s: float
) -> None:
    """Draw the busy cores of one stage, its core time, and the numbers of trained models."""
    axes.axhline(lane, color="#d9d9d9", linewidth=0.8, zorder=0)
    finished = [work for work in done if not work.is_at_work]
    # All work pale, and what has finished in full colour above it.
    for some, alpha in ((done, 0.35), (finished, 1.0)):
        if not some:
            continue
        moments, busy = _busy(some)
        times, height = np.repeat(moments, 2)[1:-1] / unit_s, LANE * np.repeat(busy[:-1], 2) / most
        axes.fill_between(
            times,
            lane,
            lane + height,
            where=(height > 0).tolist(),
            color=STAGES[stage].colour,
            alpha=alpha,
            linewidth=0.4,
            zorder=2,
        )
    core_s = sum(work.core_s for work in done)
    _, one_s, name = next(unit for unit in _UNITS if core_s >= unit[0] * unit[1])
    num = len(finished)
    text = f"{num:,} task{'' if num == 1 else 's'}\n{core_s / one_s:.3g} core-{name}"
    if num < len(done):
        text += f"\n{len(done) - num} at work"
    axes.annotate(
        text,
        (1.01, lane + LANE / 2),
        xycoords=("axes fraction", "data"),
        va="center",
        fontsize=8,
        color=GREY,
    )
    if stage == "train":
        for work in finished:
            middle = ((work.begin + work.end) / 2 / unit_s, lane + LANE * work.cores / most / 2)
            axes.annotate(
                f"model {work.task.round}",
                middle,
                ha="center",
                va="center",
                fontsize=8,
                clip_on=True,
            )


def _draw_failures(
    axes: Axes, states: Sequence[State], stages: Sequence[Stage], unit_s: float
) -> None:
    """Draw a cross where a task failed."""
    failed = [
        (attempt.elapsed_s, task.stage)
        for state in states
        for task, attempts in state.account.attempts.items()
        for attempt in attempts
    ]
    lanes = {stage: lane for lane, stage in enumerate(stages)}
    places = np.array(
        [(when / unit_s, lanes[stage] + LANE / 2) for when, stage in failed if stage in lanes]
    )
    if len(places):
        label = f"{len(places)} failed attempt{'s' if len(places) > 1 else ''}"
        axes.scatter(
            places[:, 0],
            places[:, 1],
            s=26,
            marker="x",
            color="black",
            linewidths=1.2,
            zorder=4,
            label=label,
        )
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), frameon=False, fontsize=8)
