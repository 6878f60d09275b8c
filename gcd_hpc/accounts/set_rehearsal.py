"""Discrete-event simulation of a set of boundaries: real policies and states, simulated tasks."""

import heapq
from collections import deque
from dataclasses import dataclass, field, replace

from gcd_hpc.accounts.rehearsal import Pace, Simulated
from gcd_hpc.campaign.actions import Quarantine, Stop, Submit
from gcd_hpc.campaign.events import Event, Failed, Opened, Quarantined, Submitted
from gcd_hpc.campaign.policy import step
from gcd_hpc.campaign.set_policy import Standing, order
from gcd_hpc.campaign.state import State
from gcd_hpc.config.set import SetConfig
from gcd_hpc.config.site import PoolConfig, SiteConfig
from gcd_hpc.stages.table import EXPLORE, Task
from gcd_hpc.stages.tasks import Plan
from gcd_hpc.workers.allocation import resolve

MOST = 0.9
"""Share of the work up to which the workers' occupancy is stated apart from the end."""


@dataclass(frozen=True)
class SetReport:
    """Occupancy of the workers in a simulated set; durations in seconds."""

    num_members: int
    num_workers: int
    num_tasks: int
    num_lost: int
    elapsed_s: float
    occupancy: float
    """Busy share of all workers' time."""
    most_s: float
    """Time at which ``MOST`` of the work was done."""
    most_occupancy: float
    """Busy share up to then."""
    generations: tuple[int, int, int]
    """Least, median and largest number of generations that a member explored."""
    longest_s: float
    """Sum of the longest task of each phase and generation of the member that ended last: no number
    of workers makes the set shorter.
    """

    def lines(self) -> list[str]:
        """The report as sentences."""
        least, median, most = self.generations
        return [
            f"{self.num_members} boundaries on {self.num_workers:,} workers: {self.num_tasks:,}"
            f" tasks, {self.num_lost} of them lost once and repeated",
            f"simulated time {self.elapsed_s / 3600:.2f} h; workers busy {self.occupancy:.1%} of"
            f" it, and {self.most_occupancy:.1%} until {MOST:.0%} of the work was done"
            f" ({self.most_s / 3600:.2f} h)",
            f"generations of a boundary: {least} to {most}, median {median}; those of one boundary"
            f" follow each other, so that the last one to end needs {self.longest_s / 3600:.2f} h"
            " on any number of workers",
        ]


def rehearse_set(config: SetConfig, num_workers: int, pace: Pace) -> SetReport:
    """Report of a simulated set on a number of workers, without models."""
    site = SiteConfig(
        cores=num_workers,
        training=PoolConfig(processes_per_node=1),
        sampling=PoolConfig(processes_per_node=1),
        relaxation=PoolConfig(processes_per_node=num_workers),
    )
    plan = replace(Plan.of(config.first, resolve(site)), rounds=0)
    return SetRehearsal(plan, pace, len(config.members()), config.first.seed).run().report()


@dataclass
class _Member:
    """One simulated campaign."""

    simulated: Simulated
    state: State
    queue: deque[Task] = field(default_factory=deque)
    standing: Standing = field(default_factory=lambda: Standing(False))
    is_current: bool = False
    """True if the standing is that of the state."""


@dataclass
class SetRehearsal:
    """One simulated set; all its campaigns have the same plan."""

    plan: Plan
    pace: Pace
    num_members: int
    seed: int = 0
    _members: list[_Member] = field(default_factory=list)
    _now: float = 0.0
    _idle: int = 0
    _ending: list[tuple[float, int, int, Task, bool, float]] = field(default_factory=list)
    _number: int = 0
    _num_lost: int = 0
    _busy: list[tuple[float, float]] = field(default_factory=list)
    """End and duration of each attempt."""
    _last: int = 0
    """Member that ended last."""

    def run(self) -> "SetRehearsal":
        """Simulate to the end."""
        self._idle = self.plan.relaxation_workers
        for number in range(self.num_members):
            simulated = Simulated(self.plan, self.pace, self.seed, (number,))
            self._members.append(_Member(simulated, State(self.plan)))
        for number in range(self.num_members):
            token = f"rehearsal-{number}"
            self._record(number, Opened(plan=self.plan, token=token, pid=0, created=0.0))
        self._start()
        while self._ending:
            self._now, _, number, task, is_lost, started = heapq.heappop(self._ending)
            self._idle += 1
            self._busy.append((self._now, self._now - started))
            if is_lost:
                self._num_lost += 1
                event: Event = Failed(task=task, reason="worker lost", failure="infrastructure")
            else:
                one = self._members[number].simulated
                event = one.finished(task, started, self._now, "workers")
            self._record(number, event)
            self._start()
        return self

    def report(self) -> SetReport:
        """Occupancy of the workers until the end, and until most of the work was done."""
        total, workers = sum(seconds for _, seconds in self._busy), self.plan.relaxation_workers
        done, most_s = 0.0, 0.0
        for end, seconds in self._busy:
            done, most_s = done + seconds, end
            if done >= MOST * total:
                break
        until = sum(min(seconds, max(0.0, most_s - end + seconds)) for end, seconds in self._busy)
        size = max(1, self.plan.num_explore_chunks)
        generations = sorted(one.state.num_done[EXPLORE, 0] // size for one in self._members)
        return SetReport(
            num_members=self.num_members,
            num_workers=workers,
            num_tasks=len(self._busy) - self._num_lost,
            num_lost=self._num_lost,
            elapsed_s=self._now,
            occupancy=total / (workers * self._now),
            most_s=most_s,
            most_occupancy=until / (workers * most_s),
            generations=(generations[0], generations[len(generations) // 2], generations[-1]),
            longest_s=self._longest_s(self._members[self._last].state),
        )

    def _longest_s(self, state: State) -> float:
        longest: dict[tuple[int, int, int], float] = {}
        for task, done in state.finished.items():
            order = self.plan.order(task)
            longest[order] = max(done.seconds, longest.get(order, 0.0))
        return sum(longest.values())

    def _record(self, number: int, event: Event) -> None:
        member = self._members[number]
        event = replace(event, elapsed_s=self._now, time=self._now)
        member.state.apply(event)
        submitted: list[Task] = []
        for action in step(member.state, event):
            match action:
                case Submit(task):
                    submitted.append(task)
                case Quarantine(task, reason):
                    self._record(number, Quarantined(task=task, reason=reason))
                case Stop():
                    self._last = number
        if submitted:
            member.state.apply(Submitted(tasks=tuple(submitted), elapsed_s=self._now))
            member.queue.extend(submitted)
        member.is_current = False

    def _start(self) -> None:
        """Start queued tasks on idle workers in the order of the set's policy."""
        while self._idle:
            waiting = {n: one for n, one in enumerate(self._members) if one.queue}
            if not waiting:
                return
            for member in waiting.values():
                if not member.is_current:
                    member.standing, member.is_current = Standing.of(member.state), True
            standings = {str(number): one.standing for number, one in waiting.items()}
            # One order serves all idle workers: nothing has been found in between.
            for name in order(standings):
                if self._idle:
                    self._begin(int(name))

    def _begin(self, number: int) -> None:
        member = self._members[number]
        task = member.queue.popleft()
        self._number, self._idle = self._number + 1, self._idle - 1
        seconds, is_lost = member.simulated.attempt(task, self._number)
        started = self._now + self.pace.answer_s
        heapq.heappush(
            self._ending, (started + seconds, self._number, number, task, is_lost, started)
        )
