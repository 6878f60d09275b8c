"""Discrete-event simulation of a campaign: real policy and ledger state, simulated tasks.

It shows within seconds the occupancy, queue length and model lag of a campaign on a large site.
"""

import heapq
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from gcd_hpc.accounts.report import Report, report_of
from gcd_hpc.campaign.actions import Drop, Quarantine, Stop, Submit
from gcd_hpc.campaign.events import Dropped, Event, Failed, Finished, Opened, Quarantined, Submitted
from gcd_hpc.campaign.policy import step
from gcd_hpc.campaign.state import State
from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.site import POOLS, Pool, PoolConfig, SiteConfig
from gcd_hpc.seeds import REHEARSAL, generator
from gcd_hpc.stages.plan import Plan
from gcd_hpc.stages.result import StageResult
from gcd_hpc.stages.table import STAGES, Task, pool_of
from gcd_hpc.workers.allocation import resolve

NUM_FRACTIONS = 10


@dataclass(frozen=True)
class Pace:
    """Assumed durations of tasks in seconds, and shares of failures and stragglers."""

    search_s: float = 12.0
    """Time of one try of the search."""
    explore_s: float = 8.0
    """Time of one move of exploration."""
    sample_s: float = 0.1
    """Time of sampling one candidate."""
    relax_s: float = 10.0
    """Time of relaxing one candidate of some thousand atoms."""
    select_s: float = 20.0
    train_s: float = 900.0
    promote_s: float = 30.0
    spread: float = 0.5
    """Standard deviation of the logarithm of a candidate's time."""
    stragglers: float = 0.002
    """Share of tasks that take ``straggling`` times as long."""
    straggling: float = 5.0
    lost: float = 0.002
    """Share of attempts whose worker dies halfway."""
    answer_s: float = 0.005
    """Delay between two tasks of a worker by Parsl, network and driver."""


def rehearse(
    config: CampaignConfig, num_workers: int, num_sampling_workers: int, pace: Pace
) -> Report:
    """Report of a simulated campaign in asynchronous mode on the given numbers of workers."""
    site = SiteConfig(
        mode="asynchronous",
        cores=num_workers + num_sampling_workers + 1,
        training=PoolConfig(processes_per_node=1),
        sampling=PoolConfig(processes_per_node=num_sampling_workers),
        relaxation=PoolConfig(processes_per_node=num_workers),
    )
    return report_of(Rehearsal(Plan.of(config, resolve(site)), pace, config.seed).run().state)


@dataclass(frozen=True)
class Simulated:
    """Durations and results of the tasks of one simulated campaign."""

    plan: Plan
    pace: Pace
    seed: int = 0
    key: tuple[int, ...] = ()
    """Key of the campaign's random streams, where several are simulated."""

    def attempt(self, task: Task, number: int) -> tuple[float, bool]:
        """Duration of an attempt in seconds, and whether its worker dies halfway.

        Args:
            number: number of the attempt among those of all tasks.
        """
        rng = self._rng(0, number)
        seconds = self._seconds(task, rng)
        is_lost = bool(rng.random() < self.pace.lost)
        return seconds * (0.5 if is_lost else 1.0), is_lost

    def finished(self, task: Task, started: float, ended: float, worker: str) -> Finished:
        """Event of a task that has finished."""
        seconds = ended - started
        result = replace(self._result(task), seconds=seconds)
        return Finished(
            task=task, result=result, started=started, seconds=seconds, cores=1, worker=worker
        )

    def _seconds(self, task: Task, rng: np.random.Generator) -> float:
        pace = self.pace
        each = {
            "search": pace.search_s,
            "explore": pace.explore_s,
            "sample": pace.sample_s,
            "relax": pace.relax_s,
        }.get(task.stage)
        if each is None:
            return {"select": pace.select_s, "train": pace.train_s, "promote": pace.promote_s}[
                task.stage
            ]
        num = self.plan.chunk_sizes[task.stage] * (
            self.plan.num_sample_chunks if task.chunk < 0 else 1
        )
        seconds = each * float(rng.lognormal(0.0, pace.spread, min(num, 64)).mean()) * num
        return seconds * (pace.straggling if rng.random() < pace.stragglers else 1.0)

    def _result(self, task: Task) -> StageResult:
        """Synthetic result with energies that fall from model to model and give the scores."""
        rng = self._rng(1, list(STAGES).index(task.stage), task.round, task.chunk + 1)
        if task.stage == "promote":
            return StageResult(model=task.round, promoted=True)
        num = self.plan.chunk_sizes.get(task.stage, 0)
        indices = rng.integers(NUM_FRACTIONS, size=num).tolist()
        energies = np.round(2.2 + 0.8 / (1 + task.round) + rng.exponential(0.4, num), 4)
        pairs = list(zip(indices, energies.tolist(), strict=True))
        if task.stage == "sample" and self.plan.mode == "asynchronous":
            size = self.plan.chunk_sizes["relax"]
            ordered = sorted(pairs, key=lambda pair: pair[1])
            batches = range(self.plan.num_batches)
            queue = tuple(tuple(ordered[k * size : (k + 1) * size]) for k in batches)
            return StageResult(num=num, atoms_per_plane=NUM_FRACTIONS, queue=queue)
        best: dict[int, float] = {}
        for index, energy in pairs:
            best[index] = min(energy, best.get(index, energy))
        limit = 2.3 + 0.8 / (1 + task.round)
        low = tuple(pair for pair in pairs if pair[1] < limit)
        return StageResult(num=num, atoms_per_plane=NUM_FRACTIONS, best=best, low=low)

    def _rng(self, *key: int) -> np.random.Generator:
        return generator(self.seed, REHEARSAL, *self.key, *key)


@dataclass
class Rehearsal:
    """One simulated campaign; ``events`` are the contents of its ledger."""

    plan: Plan
    pace: Pace
    seed: int = 0
    events: list[Event] = field(default_factory=list)
    state: State = field(init=False)
    stop: Stop | None = None
    _now: float = 0.0
    _ending: list[tuple[float, int, Task, str]] = field(default_factory=list)
    _queues: dict[Pool, deque[Task]] = field(default_factory=lambda: defaultdict(deque))
    _idle: dict[Pool, list[int]] = field(default_factory=dict)
    _begun: dict[Task, tuple[float, int]] = field(default_factory=dict)
    _number: int = 0
    _simulated: Simulated = field(init=False)

    def __post_init__(self) -> None:
        self.state = State(self.plan)
        self._simulated = Simulated(self.plan, self.pace, self.seed)

    def run(self, watch: Callable[[State], None] = lambda state: None) -> "Rehearsal":
        """Simulate to the end; ``watch`` is called with the state after every event."""
        workers = {
            "training": 1,
            "sampling": self.plan.sampling_workers,
            "relaxation": self.plan.relaxation_workers,
        }
        self._idle = {pool: list(range(workers[pool])) for pool in POOLS}
        self._record(Opened(plan=self.plan, token="rehearsal", pid=0, created=0.0))
        while self.stop is None and self._ending:
            self._now, _, task, how = heapq.heappop(self._ending)
            started, worker = self._begun.pop(task)
            pool = pool_of(task.stage, self.plan.mode)
            self._idle[pool].append(worker)
            if how == "lost":
                self._record(Failed(task=task, reason="worker lost", failure="infrastructure"))
            else:
                one = self._simulated.finished(task, started, self._now, f"{pool}:{worker}")
                self._record(one)
            self._start(pool)
            watch(self.state)
        return self

    def _record(self, event: Event) -> None:
        event = replace(event, elapsed_s=self._now, time=self._now)
        self.events.append(event)
        self.state.apply(event)
        submitted: list[Task] = []
        for action in step(self.state, event):
            match action:
                case Submit(task):
                    submitted.append(task)
                case Drop(tasks):
                    self._record(Dropped(tasks=tasks))
                case Quarantine(task, reason):
                    self._record(Quarantined(task=task, reason=reason))
                case Stop():
                    self.stop = action
        if submitted:
            self._record(Submitted(tasks=tuple(submitted)))
            for task in submitted:
                self._queues[pool_of(task.stage, self.plan.mode)].append(task)
            for pool in POOLS:
                self._start(pool)

    def _start(self, pool: Pool) -> None:
        """Start queued tasks on the idle workers of a pool."""
        while self._queues[pool] and self._idle[pool]:
            task, worker = self._queues[pool].popleft(), self._idle[pool].pop()
            self._number += 1
            seconds, is_lost = self._simulated.attempt(task, self._number)
            self._begun[task] = (self._now + self.pace.answer_s, worker)
            end = self._now + self.pace.answer_s + seconds
            heapq.heappush(self._ending, (end, self._number, task, "lost" if is_lost else "done"))
