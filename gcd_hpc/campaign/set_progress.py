"""Progress of a set of boundaries in one line."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gcd_hpc.campaign.account import Improvement
from gcd_hpc.campaign.estimate import ENOUGH_DONE
from gcd_hpc.campaign.member import Member
from gcd_hpc.campaign.progress import (
    Snapshot,
    last_improvements,
    training_progress,
)
from gcd_hpc.campaign.signals import Clock
from gcd_hpc.campaign.state import NUM_IMPROVEMENTS, State
from gcd_hpc.config.set import SetConfig
from gcd_hpc.stages.plan import Plan
from gcd_hpc.stages.table import STAGES
from gcd_hpc.store.makers import by_maker


@dataclass(frozen=True)
class SetSnapshot(Snapshot):
    """Progress of a set at one moment: its boundaries are the units."""

    def headline(self) -> str:
        """Summary, such as ``12/18 boundaries done, 3 at work, 4,120 structures``."""
        return f"{self.done:.0f}/{self.total:.0f} boundaries done, {self.detail}"


class SetProgress:
    """Snapshots of a set, and its last improvement."""

    def __init__(self, config: SetConfig, plan: Plan, num_complete: int, clock: Clock) -> None:
        """Progress without any open member.

        Args:
            num_complete: members that were complete before this session.
        """
        self._config, self._plan = config, plan
        self._num_complete, self._clock = num_complete, clock
        self._known: dict[str, Improvement] = {}
        self._improvements: list[str] = []

    def snapshot(
        self, members: Mapping[str, Member], num_failed: int, shared: Member | None = None
    ) -> Snapshot:
        """Progress now.

        Args:
            shared: trains the model of all boundaries.
            members: open members by name, those that have ended included.
            num_failed: members that were left out.
        """
        total, elapsed_s = len(self._config.members()), self._clock.elapsed_s()
        num_ended = sum(one.stop is not None and not one.stop.failed for one in members.values())
        going = [one for one in members.values() if one.stop is None]
        tried = sum(one.state.num_tried for one in members.values())
        doing = "" if shared is None else shared_work(shared.run_dir, shared.state)
        left_out = f", {num_failed} left out" if num_failed else ""
        done = self._num_complete + num_ended
        parts = sum(_part(one.state) for one in going)
        return SetSnapshot(
            name=self._config.name,
            stage=None,
            round=0,
            rounds=self._plan.rounds,
            done=done,
            total=total,
            unit="boundaries",
            detail=", ".join(
                filter(None, (f"{len(going)} at work{left_out}", f"{tried:,} structures", doing))
            ),
            rate=0.0,
            elapsed_s=elapsed_s,
            improvements=self._last_improvements(members),
            sources=_sources(members),
            campaign_s=self._remaining_s((num_ended + num_failed + parts) / total, elapsed_s),
        )

    def _last_improvements(self, members: Mapping[str, Member]) -> tuple[str, ...]:
        for name, member in members.items():
            last = member.state.improvements[-1:]
            if last and last[0] is not self._known.get(name):
                self._known[name] = last[0]
                self._improvements.append(f"{name}: {last_improvements(member.state)[-1]}")
        del self._improvements[:-NUM_IMPROVEMENTS]
        return tuple(self._improvements)

    def _remaining_s(self, part: float, elapsed_s: float) -> float | None:
        """Time to the end if the rest takes as long as what is done, s; None while unknown.

        Args:
            part: part of the set that is done.
        """
        limit_s = self._plan.wall_time_s
        left_s = None if limit_s is None else max(0.0, limit_s - elapsed_s)
        if part < ENOUGH_DONE:
            return left_s
        rest_s = elapsed_s * (1 - part) / part
        return rest_s if left_s is None else min(rest_s, left_s)


def _sources(members: Mapping[str, Member]) -> dict[str, tuple[int, tuple[str, ...]]]:
    """Number of improvements of each source in all boundaries, and where it found the ground
    state.
    """
    num: Counter[str] = Counter()
    held: dict[str, tuple[str, ...]] = {}
    for name, member in members.items():
        num.update(member.state.improved)
        lowest = min(member.state.lowest.values(), default=None)
        if lowest is not None:
            held[lowest[1]] = (*held.get(lowest[1], ()), name)
    return {source: (num[source], held.get(source, ())) for source in sorted(num, key=by_maker)}


def shared_work(run_dir: Path, own: State) -> str:
    """What a set is doing for all its boundaries, such as ``model 1: 120/400 steps``; else "".

    Args:
        own: state that the set's own ledger gives.
    """
    task = next(iter(own.submitted), None)
    if task is None:
        return ""
    if task.stage != "train":
        return f"model {task.round}: {STAGES[task.stage].doing}"
    step, num_steps, detail = training_progress(run_dir, task.round)
    steps = f"{step:.0f}/{num_steps:.0f} steps" if num_steps else ""
    return f"model {task.round}: {', '.join(filter(None, (steps, detail)))}"


def _part(state: State) -> float:
    """Part of a campaign's tasks that have ended."""
    phases = list(state.plan.phases())
    total = sum(state.plan.num_tasks(stage) for stage, _ in phases)
    return sum(state.num_done[phase] for phase in phases) / max(1, total)
