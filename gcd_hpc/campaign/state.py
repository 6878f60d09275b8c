"""State of a campaign, reduced from the events of its ledger. Nothing else interprets events."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf
from sys import intern

from gcd_hpc.campaign.account import Account, Attempt, Done, Improvement
from gcd_hpc.campaign.events import (
    Dropped,
    Event,
    Failed,
    Finished,
    Lost,
    Opened,
    Paused,
    Quarantined,
    Reported,
    Stopped,
    Submitted,
)
from gcd_hpc.campaign.patience import num_fruitless
from gcd_hpc.campaign.waiting import Waiting
from gcd_hpc.stages.plan import Plan
from gcd_hpc.stages.result import StageResult
from gcd_hpc.stages.table import EXPLORE, SEARCH, STAGES, WHOLE, PhaseCounter, Stage, Task
from gcd_hpc.store.makers import maker_name
from gcd_hpc.structures.energetics import SAME_ENERGY_J_M2

LEAST_PROGRESS = 0.01
"""Share of a task's work that an attempt must save so that its failure does not count.

It bounds the number of such attempts: a task has at most 100 of them.
"""
NUM_IMPROVEMENTS = 3
"""Improvements that the progress display shows."""


@dataclass
class State:
    """State of a campaign after its events. Only ``apply`` and ``advance`` change it."""

    plan: Plan
    elapsed_s: float = 0.0
    time: float = 0.0
    """Time of the last event, seconds since the epoch."""
    finished: dict[Task, Done] = field(default_factory=dict)
    submitted: dict[Task, float] = field(default_factory=dict)
    """Submitted, unfinished tasks, with the elapsed time of their submission."""
    interrupted: dict[Task, None] = field(default_factory=dict)
    """Tasks left unfinished by the previous session and not yet submitted again."""
    in_flight: Counter[Stage] = field(default_factory=Counter)
    """Number of submitted, unfinished tasks of each stage."""
    num_done: PhaseCounter = field(default_factory=Counter)
    """Number of finished and quarantined tasks of each phase."""
    attempts: Counter[Task] = field(default_factory=Counter)
    """Failures of each task in this session since it last made progress.

    Those during which the machine was suspended do not count.
    """
    saved: dict[Task, float] = field(default_factory=dict)
    """Saved share of each task at the last failure of this session that came after progress."""
    lost: dict[Task, None] = field(default_factory=dict)
    """Finished tasks whose products were lost or damaged; they are run again."""
    quarantined: dict[Task, str] = field(default_factory=dict)
    """Quarantined tasks, with the reason."""
    num_tried: int = 0
    num_quarantined: int = 0
    """Number of those candidates that were quarantined because of a bug."""
    atoms_per_plane: int = 1
    """N_plane, the denominator of [n] = n_index / N_plane."""
    best: dict[int, dict[int, float]] = field(default_factory=dict)
    """Lowest figure of merit by round (0 before the first training) and n_index: E_gb in J/m^2, or
    the spectrum error of a material by the number of the group in ``Merit``.
    """
    found: dict[int, dict[int, dict[int, float]]] = field(default_factory=dict)
    """Lowest E_gb in J/m^2 by round, generation of exploration (WHOLE before it) and n_index."""
    lowest: dict[int, tuple[float, str]] = field(default_factory=dict)
    """Lowest figure of merit by n_index, and the source that first came noticeably near it."""
    improvements: list[Improvement] = field(default_factory=list)
    """Last noticeable improvements of a lowest figure of merit, NUM_IMPROVEMENTS at most."""
    improved: Counter[str] = field(default_factory=Counter)
    """Number of times that each source lowered a lowest energy noticeably or was the first."""
    waiting: Waiting = field(default_factory=Waiting)
    """Relaxation queue, most promising tasks first (asynchronous mode)."""
    next_chunk: PhaseCounter = field(default_factory=Counter)
    """Next chunk of sampling and exploration in each round (asynchronous mode)."""
    low: set[tuple[int, int]] = field(default_factory=set)
    """Distinct low-energy structures: n_index, and the energy in steps of SAME_ENERGY_J_M2."""
    num_low_at_select: int = 0
    models: dict[int, int] = field(default_factory=dict)
    """Model in use in each round: its own, or the previous one if promotion refused it. Model 0 is
    the one that the campaign starts from.
    """
    paused: bool = False
    stopped: str | None = None
    failed: bool = False
    """True if an error stopped the campaign."""
    reported: bool = False
    account: Account = field(default_factory=Account)

    @property
    def round(self) -> int:
        """Newest round whose candidates are sampled; 0 before the first model is trained."""
        return max(self.models, default=0)

    @property
    def is_flowing(self) -> bool:
        """True in asynchronous mode from the first model on, when the stages overlap.

        A model that the campaign starts from is sampled once the search is complete.
        """
        has_model = self.round > 0 or (bool(self.models) and self.is_complete(SEARCH, 0))
        return self.plan.mode == "asynchronous" and self.plan.until is None and has_model

    @property
    def drivers(self) -> dict[str, tuple[int, float]]:
        """Process id and start time of every driver, by its token."""
        return {one.token: (one.pid, one.created) for one in self.account.sessions}

    def is_complete(self, stage: Stage, round: int) -> bool:
        """True if enough tasks of a phase are finished for the next phase to begin."""
        num_done = self.num_done[stage, round]
        is_turn = stage == EXPLORE and num_done > 0 and self.plan.is_turn(stage, num_done)
        if is_turn and self.is_out_of_patience(round):
            return True
        return num_done >= self.plan.num_needed(stage)

    def is_out_of_patience(self, round: int) -> bool:
        """True if a round's last generations of exploration, as many as the plan's patience, did
        not improve any lowest energy.
        """
        patience = self.plan.patience
        if not patience:
            return False
        num = self.num_done[EXPLORE, round] // max(1, self.plan.num_explore_chunks)
        return num_fruitless(self.found, round, num) >= patience

    def advance(self, elapsed_s: float) -> None:
        """Advance the elapsed time, which never decreases even if a clock is set back."""
        self.elapsed_s = max(self.elapsed_s, elapsed_s)

    def apply(self, event: Event) -> None:
        """Update the state by one event, in nearly constant time."""
        self.advance(event.elapsed_s)
        self.time = max(self.time, event.time)
        match event:
            case Opened():
                self._open(event)
            case Submitted():
                for task in event.tasks:
                    self._submit(task)
            case Finished():
                self._finish(event)
            case Failed():
                self._fail(event)
            case Quarantined():
                self._set_aside(event)
            case Lost():
                self._lose(event.task)
            case Dropped():
                self._drop(event.tasks)
            case Paused():
                self.paused = True
            case Stopped():
                self.stopped, self.failed = event.reason, event.failed
            case Reported():
                self.reported = True
        if self.models and self.plan.mode == "asynchronous":
            self.account.queue.append(len(self.waiting))

    def _open(self, event: Opened) -> None:
        account = self.account
        if account.sessions:
            account.is_resuming = True
            # Unfinished work of the previous session counts as wasted.
            account.wasted_s += sum(
                max(0.0, self.elapsed_s - since) for since in self.submitted.values() if since > 0
            )
        account.sessions.append(event)
        self.plan = event.plan
        if self.plan.has_model:
            self.models[0] = 0
        self.interrupted = dict.fromkeys(self.submitted)
        self.submitted.clear()
        self.in_flight.clear()
        self.attempts.clear()
        self.saved.clear()
        # Quarantined tasks get another attempt in each session.
        for task in self.quarantined:
            self.num_done[task.phase] -= 1
        self.quarantined.clear()
        self.paused = self.failed = self.reported = False
        self.stopped = None

    def _submit(self, task: Task) -> None:
        if task in self.submitted:
            return
        if self.account.is_resuming:
            session = self.account.sessions[-1]
            called = session.elapsed_s - session.startup_s
            self.account.resume_s.append(self.elapsed_s - called)
            self.account.is_resuming = False
        self.submitted[task] = self.elapsed_s
        self.in_flight[task.stage] += 1
        self.interrupted.pop(task, None)
        self.waiting.remove([task])
        if task.stage in ("sample", EXPLORE) and task.chunk != WHOLE:
            begun = self.next_chunk[task.phase]
            self.next_chunk[task.phase] = max(begun, task.chunk + 1)
        if task.stage == "select":
            self.num_low_at_select = len(self.low)
        if task.stage == "relax" and self.plan.mode == "asynchronous":
            self.account.lag[self.round - task.round] += 1

    def _leave(self, task: Task) -> None:
        if self.submitted.pop(task, None) is not None:
            self.in_flight[task.stage] -= 1

    def _finish(self, event: Finished) -> None:
        task, result = event.task, event.result
        self._leave(task)
        self.lost.pop(task, None)
        for attempt in self.account.attempts.get(task, ()):
            attempt.outcome = "finished later"
        if task in self.finished:
            return
        self.finished[task] = Done(
            event.started,
            event.seconds,
            event.cores,
            result.seconds,
            result.num,
            result.quarantined,
            event.num_bytes,
            intern(event.worker),
            len(self.account.sessions) - 1,
            event.elapsed_s,
            event.time,
            event.cpu_s,
        )
        self.num_done[task.phase] += 1
        if STAGES[task.stage].is_counted:
            self.num_tried += result.num
        self.num_quarantined += result.quarantined
        if task.stage == "promote" and result.model is not None:
            self.models[task.round] = result.model
            ended = event.time or event.started + event.seconds
            self.account.promoted = (task.round, ended)
        if task.stage == "fit":
            self.models[task.round] = task.round
        if task.stage == "sample":
            self._take_first_sample(task)
        self._learn(task, result)

    def _take_first_sample(self, task: Task) -> None:
        account, done = self.account, self.finished[task]
        if account.promoted is not None and account.promoted[0] == task.round:
            # A launched task samples all chunks: its first sample comes with the start of its work.
            first = done.ended if task.chunk != WHOLE else done.ended - done.work_s
            account.first_sample_s.append(max(0.0, first - account.promoted[1]))
            account.promoted = None

    def _learn(self, task: Task, result: StageResult) -> None:
        """Record the energies and scores that a task reported."""
        self.atoms_per_plane = result.atoms_per_plane or self.atoms_per_plane
        self._compare(task, result)
        known = self.best.setdefault(task.round, {})
        generation = self.plan.generation(task) if task.stage == EXPLORE else WHOLE
        found = self.found.setdefault(task.round, {}).setdefault(generation, {})
        improved = False
        for n_index, energy in result.best.items():
            known[n_index] = min(energy, known.get(n_index, energy))
            found[n_index] = min(energy, found.get(n_index, energy))
            improved |= self.waiting.learn(n_index, energy)
        if improved:
            self.waiting.rank()
        self.low |= {(n_index, round(energy / SAME_ENERGY_J_M2)) for n_index, energy in result.low}
        for batch, scores in enumerate(result.queue):
            number = task.chunk * len(result.queue) + batch
            self.waiting.add(Task("relax", task.round, number), scores)

    def _compare(self, task: Task, result: StageResult) -> None:
        """Compare the lowest energies of each source of a task with those known."""
        if not STAGES[task.stage].is_counted:
            return
        # Results of earlier versions do not tell sources apart.
        model = self.models.get(task.round, task.round)
        made_by = maker_name("model", model, "") if task.stage == "relax" else task.stage
        found = {name: tally.best for name, tally in result.sources.items()}
        for source, best in (found or {made_by: result.best}).items():
            for n_index, energy in best.items():
                before, holder = self.lowest.get(n_index, (inf, source))
                if energy < before - self.plan.merit.noticeable:
                    holder = source
                    self.improved[source] += 1
                    if before < inf:
                        self.improvements.append(Improvement(n_index, before, energy, source))
                        del self.improvements[:-NUM_IMPROVEMENTS]
                self.lowest[n_index] = min(before, energy), holder

    def _fail(self, event: Failed) -> None:
        since = self.submitted.get(event.task, event.elapsed_s)
        self.account.wasted_s += event.elapsed_s - since
        outcome = "run again" if event.is_retried else "ended the campaign"
        attempt = Attempt(event.task, event.reason, event.failure, event.elapsed_s, outcome)
        self.account.attempts.setdefault(event.task, []).append(attempt)
        # A paused or killed training that got further has lost little: the count starts anew.
        if event.saved >= self.saved.get(event.task, 0.0) + LEAST_PROGRESS:
            self.saved[event.task] = event.saved
            self.attempts[event.task] = 0
        elif not event.suspended:
            self.attempts[event.task] += 1
        self._leave(event.task)

    def _set_aside(self, event: Quarantined) -> None:
        self.quarantined[event.task] = event.reason
        self.lost.pop(event.task, None)
        self.num_done[event.task.phase] += 1
        for task in event.task.needing():
            self.quarantined[task] = f"{event.task.name} was set aside"
            self.num_done[task.phase] += 1
        self.account.num_quarantined += 1
        for attempt in self.account.attempts.get(event.task, ())[-1:]:
            attempt.outcome = "quarantined"

    def _lose(self, task: Task) -> None:
        """Count a finished task as unfinished, because its product is lost or damaged."""
        done = self.finished.pop(task, None)
        if done is None:
            return
        self.lost[task] = None
        self.num_done[task.phase] -= 1
        self.num_quarantined -= done.num_quarantined
        if STAGES[task.stage].is_counted:
            self.num_tried -= done.num

    def _drop(self, tasks: Iterable[Task]) -> None:
        for task in tasks:
            self.waiting.remove([task])
            self.account.num_dropped += 1
            chunk = Task("sample", task.round, task.chunk // self.plan.num_batches)
            if chunk in self.finished:
                self.account.wasted_s += self.finished[chunk].seconds / self.plan.num_batches
