"""Discrete-event simulation of a set of boundaries: real policies and states, simulated tasks."""

import heapq
from collections import defaultdict, deque
from dataclasses import dataclass, field, replace

from gcd_hpc.accounts.rehearsal import Pace, Simulated
from gcd_hpc.campaign.actions import Drop, Quarantine, Stop, Submit
from gcd_hpc.campaign.events import Dropped, Event, Failed, Opened, Quarantined, Submitted
from gcd_hpc.campaign.policy import step
from gcd_hpc.campaign.set_policy import Standing, model_step, next_training, order
from gcd_hpc.campaign.state import State
from gcd_hpc.config.set import SetConfig
from gcd_hpc.config.site import POOLS, Pool, PoolConfig, SiteConfig
from gcd_hpc.stages.plan import Plan
from gcd_hpc.stages.table import EXPLORE, SHARED, Task, pool_of
from gcd_hpc.workers.allocation import resolve

SHARED_MODEL = -1
"""In place of a member's number, for what is done for all of them."""
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
    num_models: int
    """Models that were trained for all boundaries."""
    waiting_s: float
    """Time between the first and the last boundary that came to each training, summed."""
    training_s: float
    """Time of trainings and promotions, for which all boundaries wait."""
    longest_s: float
    """Sum of the longest task of each phase and generation of the member that ended last: no number
    of workers makes the set shorter.
    """

    def lines(self) -> list[str]:
        """The report as sentences."""
        least, median, most = self.generations
        model = (
            f"times that the shared model was trained: {self.num_models}; the first boundary waited"
            f" {self.waiting_s / 3600:.2f} h for the last, and all of them"
            f" {self.training_s / 3600:.2f} h for training and promotion"
        )
        return [
            f"{self.num_members} boundaries on {self.num_workers:,} workers: {self.num_tasks:,}"
            f" tasks, {self.num_lost} of them lost once and repeated",
            f"simulated time {self.elapsed_s / 3600:.2f} h; workers busy {self.occupancy:.1%} of"
            f" it, and {self.most_occupancy:.1%} until {MOST:.0%} of the work was done"
            f" ({self.most_s / 3600:.2f} h)",
            *([model] if self.num_models else []),
            f"generations of a boundary: {least} to {most}, median {median}; those of one boundary"
            f" follow each other, so that the last one to end needs {self.longest_s / 3600:.2f} h"
            " on any number of workers",
        ]


def rehearse_set(
    config: SetConfig, num_workers: int, num_sampling_workers: int, pace: Pace
) -> SetReport:
    """Report of a simulated set on a number of workers, in asynchronous mode if it has a model.

    Args:
        num_workers: of the relaxation pool, whose occupancy is reported.
        num_sampling_workers: of the sampling pool, beside one of the training pool.
    """
    has_model = config.budget.rounds > 0 or config.first.model is not None
    site = SiteConfig(
        mode="asynchronous" if has_model else "barrier",
        cores=num_workers + (num_sampling_workers + 1) * has_model,
        training=PoolConfig(processes_per_node=1),
        sampling=PoolConfig(processes_per_node=num_sampling_workers if has_model else 1),
        relaxation=PoolConfig(processes_per_node=num_workers),
    )
    plan = Plan.of(config.first, resolve(site))
    return SetRehearsal(plan, pace, len(config.members()), config.first.seed).run().report()


@dataclass
class _Member:
    """One simulated campaign."""

    simulated: Simulated
    state: State
    queue: deque[Task] = field(default_factory=deque)
    """Waiting tasks of the relaxation pool."""
    standing: Standing = field(default_factory=lambda: Standing(False))
    is_current: bool = False
    """True if the standing is that of the state."""
    held: Task | None = None
    """Task that waits for the shared model."""
    has_ended: bool = False


@dataclass
class SetRehearsal:
    """One simulated set; all its campaigns have the same plan."""

    plan: Plan
    pace: Pace
    num_members: int
    seed: int = 0
    _members: list[_Member] = field(default_factory=list)
    _shared: "_SharedModel" = field(init=False)
    _now: float = 0.0
    _idle: dict[Pool, int] = field(default_factory=dict)
    _launches: dict[Pool, deque[tuple[int, Task]]] = field(
        default_factory=lambda: defaultdict(deque)
    )
    """Waiting tasks of the other pools, with the number of their member; SHARED_MODEL for those of
    the set.
    """
    _ending: list[tuple[float, int, int, Task, bool, float]] = field(default_factory=list)
    _number: int = 0
    _num_lost: int = 0
    _num_tasks: int = 0
    _busy: list[tuple[float, float]] = field(default_factory=list)
    """End and duration of each attempt in the relaxation pool."""
    _last: int = 0
    """Member that ended last."""

    def run(self) -> "SetRehearsal":
        """Simulate to the end."""
        plan = self.plan
        workers = {"relaxation": plan.relaxation_workers, "sampling": plan.sampling_workers}
        self._idle = {pool: workers.get(pool, 1) for pool in POOLS}
        key = (self.num_members,)
        self._shared = _SharedModel(Simulated(plan, self.pace, self.seed, key), State(plan))
        for number in range(self.num_members):
            simulated = Simulated(plan, self.pace, self.seed, (number,))
            self._members.append(_Member(simulated, State(plan)))
        for number in (SHARED_MODEL, *range(self.num_members)):
            token = f"rehearsal-{number}"
            self._record(number, Opened(plan=plan, token=token, pid=0, created=0.0))
        self._start()
        while self._ending and not all(one.has_ended for one in self._members):
            self._now, _, number, task, is_lost, started = heapq.heappop(self._ending)
            pool = pool_of(task.stage, plan.mode)
            self._idle[pool] += 1
            if pool == "relaxation":
                self._busy.append((self._now, self._now - started))
            self._num_tasks += not is_lost
            if is_lost:
                self._num_lost += 1
                event: Event = Failed(task=task, reason="worker lost", failure="infrastructure")
            else:
                one = self._shared if number == SHARED_MODEL else self._members[number]
                event = one.simulated.finished(task, started, self._now, pool)
            self._record(number, event)
            self._share()
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
        generations = sorted(
            sum(num for (stage, _), num in one.state.num_done.items() if stage == EXPLORE) // size
            for one in self._members
        )
        return SetReport(
            num_members=self.num_members,
            num_workers=workers,
            num_tasks=self._num_tasks,
            num_lost=self._num_lost,
            elapsed_s=self._now,
            occupancy=total / (workers * self._now),
            most_s=most_s,
            most_occupancy=until / (workers * most_s),
            generations=(generations[0], generations[len(generations) // 2], generations[-1]),
            num_models=sum(task.stage == "train" for task in self._shared.state.finished),
            waiting_s=self._shared.waiting_s,
            training_s=self._shared.training_s,
            longest_s=self._longest_s(self._members[self._last].state),
        )

    def _longest_s(self, state: State) -> float:
        longest: dict[tuple[int, int, int], float] = {}
        for task, done in state.finished.items():
            order = self.plan.order(task)
            longest[order] = max(done.seconds, longest.get(order, 0.0))
        return sum(longest.values())

    def _record(self, number: int, event: Event) -> None:
        """Apply an event to a member, or to the shared model, and carry out what follows."""
        is_shared = number == SHARED_MODEL
        state = self._shared.state if is_shared else self._members[number].state
        event = replace(event, elapsed_s=self._now, time=self._now)
        state.apply(event)
        submitted: list[Task] = []
        for action in (model_step if is_shared else step)(state, event):
            match action:
                case Submit(task):
                    submitted.append(task)
                case Drop(tasks):
                    self._record(number, Dropped(tasks=tasks))
                case Quarantine(task, reason):
                    self._record(number, Quarantined(task=task, reason=reason))
                case Stop():
                    self._end(number)
        self._submit(number, state, submitted)
        if is_shared:
            self._shared.is_due = True
        else:
            self._members[number].is_current = False

    def _end(self, number: int) -> None:
        self._shared.is_due = True
        if number != SHARED_MODEL:
            self._last = number
            self._members[number].has_ended = True
            self._members[number].queue.clear()

    def _submit(self, number: int, state: State, tasks: list[Task]) -> None:
        if not tasks:
            return
        state.apply(Submitted(tasks=tuple(tasks), elapsed_s=self._now))
        for task in tasks:
            pool = pool_of(task.stage, self.plan.mode)
            if number != SHARED_MODEL and task.stage in SHARED:
                self._members[number].held = task
                self._shared.is_due = True
            elif number != SHARED_MODEL and pool == "relaxation":
                self._members[number].queue.append(task)
            else:
                self._launches[pool].append((number, task))

    def _share(self) -> None:
        """Hand over what boundaries wait for, and begin a training if all of them wait for it."""
        shared = self._shared
        if not shared.is_due:
            return
        while shared.is_due:
            shared.is_due = False
            for number, member in enumerate(self._members):
                task = member.held
                if task is not None and Task("promote", task.round) in shared.state.finished:
                    member.held = None
                    event = shared.simulated.finished(task, self._now, self._now, "")
                    self._record(number, replace(event, cores=0, cpu_s=0.0))
        held = [one.held for one in self._members if not one.has_ended]
        shared.watch(self._now, held)
        training = next_training(shared.state, held)
        if training is not None:
            self._submit(SHARED_MODEL, shared.state, [training])

    def _start(self) -> None:
        """Start queued tasks on idle workers, those of relaxation in the order of the policy."""
        for pool, queue in self._launches.items():
            while queue and self._idle[pool]:
                self._begin(*queue.popleft())
        while self._idle["relaxation"]:
            waiting = {n: one for n, one in enumerate(self._members) if one.queue}
            if not waiting:
                return
            for member in waiting.values():
                if not member.is_current:
                    member.standing, member.is_current = Standing.of(member.state), True
            standings = {str(number): one.standing for number, one in waiting.items()}
            # One order serves all idle workers: nothing has been found in between.
            for name in order(standings):
                if self._idle["relaxation"]:
                    self._begin(int(name), self._members[int(name)].queue.popleft())

    def _begin(self, number: int, task: Task) -> None:
        one = self._shared if number == SHARED_MODEL else self._members[number]
        self._number += 1
        self._idle[pool_of(task.stage, self.plan.mode)] -= 1
        seconds, is_lost = one.simulated.attempt(task, self._number)
        started = self._now + self.pace.answer_s
        heapq.heappush(
            self._ending, (started + seconds, self._number, number, task, is_lost, started)
        )


@dataclass
class _SharedModel:
    """The simulated model of all boundaries, and how long they wait for it."""

    simulated: Simulated
    state: State
    is_due: bool = False
    """True if a boundary may be waiting for what there is."""
    waiting_s: float = 0.0
    training_s: float = 0.0
    _first_s: float | None = None
    """Time at which the first boundary came to the training that is next."""
    _last_s: float | None = None
    """Time at which the last one did."""

    def watch(self, now_s: float, held: list[Task | None]) -> None:
        """Measure how long boundaries have waited."""
        is_training = any(task.stage in SHARED for task in self.state.submitted)
        if self._last_s is not None and not any(held):
            self.training_s += now_s - self._last_s
            self._first_s = self._last_s = None
        elif any(held) and self._first_s is None:
            self._first_s = now_s
        if self._first_s is not None and self._last_s is None and all(held) and not is_training:
            self.waiting_s += now_s - self._first_s
            self._last_s = now_s
