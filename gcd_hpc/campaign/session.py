"""One session of a campaign: asks the policy, hands tasks to the workers, writes the ledger, until
the end or a signal.
"""

import os
import queue
import signal
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from gcd_hpc.campaign.ledger import Event, Ledger, State, opened
from gcd_hpc.campaign.policy import MAX_RETRIES, Drop, Quarantine, Stop, Submit, step
from gcd_hpc.campaign.progress import Pace, Progress, snapshot
from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.site import SiteConfig
from gcd_hpc.errors import LaunchError, QuarantineError
from gcd_hpc.stages.table import STAGES, Stage, is_launched
from gcd_hpc.stages.tasks import (
    PREFETCH_WORKERS,
    Plan,
    Record,
    Task,
    TaskIds,
    TaskRequest,
    find_record,
)
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.workers.backend import (
    Backend,
    BackendStartError,
    PausedError,
    StageCall,
    failure_class,
)
from gcd_hpc.workers.reaper import descendants, end, marked, start_time

SHOW_S = 0.25
"""Between looks at the progress."""
POLL_S = 0.5
"""Between looks at signals, the wall time and the progress of a stage."""
REPORTED = (
    "num",
    "ok",
    "failed",
    "invalid",
    "quarantined",
    "best",
    "low",
    "queue",
    "model",
    "promoted",
    "reason",
)
"""What the ledger keeps of a task's result."""


@dataclass(frozen=True)
class Outcome:
    """How a call of ``run_campaign`` ended."""

    status: Literal["complete", "paused"]
    reason: str
    state: State
    did_nothing: bool = False
    """The campaign was complete before."""


class Session:
    """One session of a campaign."""

    def __init__(
        self,
        config: CampaignConfig,
        site: SiteConfig,
        run_dir: Path,
        modules: Mapping[Stage, str],
        addresses: TaskIds,
        ledger: Ledger,
        state: State,
        display: Progress,
        called: float,
    ) -> None:
        self._config, self._site, self._run_dir, self._modules = config, site, run_dir, modules
        self._addresses, self._ledger, self._state, self._display = (
            addresses,
            ledger,
            state,
            display,
        )
        self._token = uuid.uuid4().hex
        self._before_s, self._clock = state.elapsed_s, called
        self._pace, self._shown = Pace(), float("-inf")
        self._new: list[Task] = []
        """Submitted by the policy; an earlier session may have finished them."""
        self._ready: list[Task] = []
        self._chunks: deque[Task] = deque()
        """Chunks that were not submitted yet: a drain on a signal need not wait for them."""
        self._done: queue.SimpleQueue[tuple[Task, Future]] = queue.SimpleQueue()
        self._running: dict[Task, Future] = {}
        self._backend: Backend | None = None
        self._is_pool_lost = False
        self._num_reloads = 0
        """Of the pools since a task finished."""
        self._stop: Stop | None = None
        self._error: BaseException | None = None
        self._signal: int | None = None
        self._is_impatient = False
        """Ctrl-C came twice."""

    def run(self, plan: Plan) -> Outcome:
        """Work until the policy stops or a signal comes.

        Raises:
            GcdError: if a task failed for good.
        """
        with marked(self._token, self._site.scheduler == "none"), _handling(self._on_signal):
            self._record(
                opened(
                    plan,
                    self._token,
                    os.getpid(),
                    start_time(os.getpid()),
                    self._elapsed(),
                    time.monotonic() - self._clock,
                )
            )
            try:
                while self._stop is None and self._signal is None:
                    with ExitStack() as stack:
                        self._loop(stack)
                        self._drain()
                    self._give_up_running()
                    if self._is_pool_lost:
                        end(descendants([self._token]))
            finally:
                # Also the processes of launch lines, of which the backend does not know.
                end(descendants([self._token]))
        if self._stop is None:
            self._record(Event("paused", self._elapsed()))
            return Outcome(
                "paused", signal.Signals(self._signal or signal.SIGTERM).name, self._state
            )
        if self._stop.failed:
            self._record(
                Event("stopped", self._elapsed(), {"reason": self._stop.reason, "failed": True})
            )
            if self._error is None or self._stop.is_quarantine:
                raise QuarantineError(f"{self._run_dir}: {self._stop.reason}") from self._error
            raise self._error
        self._record(Event("stopped", self._elapsed(), {"reason": self._stop.reason}))
        return Outcome("complete", self._stop.reason, self._state)

    def _loop(self, stack: ExitStack) -> None:
        """Work with one backend, until the end or until it is of no more use."""
        self._backend = None
        self._is_pool_lost = False
        while self._stop is None and self._signal is None and not self._is_pool_lost:
            self._adopt()
            if (self._ready or self._chunks) and self._stop is None:
                if self._backend is None:
                    # Parsl takes 0.3 s to import: only when there is something to run.
                    from gcd_hpc.workers.parsl_backend import ParslBackend

                    try:
                        self._backend = ParslBackend(self._site, self._run_dir, self._num_reloads)
                    except BackendStartError as error:
                        self._give_up_pools(str(error))
                        return
                    stack.callback(self._backend.close)
                self._submit(self._backend)
            self._show()
            self._collect()
            self._look_after_pools()

    def _look_after_pools(self) -> None:
        """Load the pools anew when they cannot work any more without saying so."""
        if (
            self._backend is not None
            and not self._is_pool_lost
            and (reason := self._backend.check_health([task.name for task in self._running]))
        ):
            self._give_up_pools(reason)

    def _give_up_pools(self, reason: str) -> None:
        self._num_reloads += 1
        if self._num_reloads > MAX_RETRIES:
            log = RunDirectory(self._run_dir).workers_log
            raise LaunchError(
                f"{reason}, {self._num_reloads} times in a row; see {log} and the folder runinfo"
            )
        self._display.note(f"{reason}: starting the workers anew")
        self._is_pool_lost = True

    def _drain(self) -> None:
        """After a signal: no new work; what runs is finished as far as the site's time allows, and
        training writes a checkpoint.
        """
        if self._signal is None or self._stop is not None or not self._running:
            return
        deadline = time.monotonic() + self._site.drain_s
        limit = f"{self._site.drain_s:g} s at most"
        self._display.note(
            f"{signal.Signals(self._signal).name}: finishing what runs, {limit}; Ctrl-C stops at"
            " once"
        )
        assert self._backend is not None
        self._backend.drain()
        while (
            self._running
            and time.monotonic() < deadline
            and self._stop is None
            and not self._is_impatient
        ):
            self._show()
            self._collect()

    def _adopt(self) -> None:
        """Count new tasks that an earlier session finished; their phase may end with that, and
        newer tasks follow.
        """
        while self._new and self._stop is None:
            new, self._new = self._new, []
            for task in new:
                record = find_record(self._run_dir, task, self._addresses.of(task))
                if record is not None:
                    self._finish(task, record)
                elif STAGES[task.stage].is_relaxation:
                    self._chunks.append(task)
                else:
                    self._ready.append(task)

    def _submit(self, backend: Backend) -> None:
        assert self._state.plan is not None
        workers = self._state.plan.relaxation_workers
        room = (
            workers
            + max(1, workers // PREFETCH_WORKERS)
            - sum(STAGES[task.stage].is_relaxation for task in self._running)
        )
        chunks = [self._chunks.popleft() for _ in range(min(room, len(self._chunks)))]
        for task in (*self._ready, *chunks):
            future = backend.submit(*self._request(task))
            self._running[task] = future
            future.add_done_callback(partial(self._put, task))
        self._ready = []

    def _request(self, task: Task) -> tuple[TaskRequest, StageCall]:
        """A task as the backend takes it."""
        assert self._state.plan is not None
        spec = STAGES[task.stage]
        launcher = spec.launcher if is_launched(task.stage, self._site.mode) else None
        cores = getattr(self._site, spec.pool).num_workers if launcher else 1
        task_id = self._addresses.of(task)
        numbers = spec.arguments(task.version, task.chunk, self._state.plan.num_batches)
        call = StageCall(spec.pool, self._modules[task.stage], spec.function, numbers, launcher)
        return TaskRequest(str(self._run_dir), task.name, task_id, cores), call

    def _put(self, task: Task, future: Future) -> None:
        # Called in another thread.
        self._done.put((task, future))

    def _collect(self) -> None:
        """Take in what has ended; wait for a moment if nothing has."""
        if self._stop is not None or not self._running:
            return
        try:
            task, future = self._done.get(timeout=POLL_S)
        except queue.Empty:
            tick = Event("tick", self._elapsed())
            self._state.apply(tick)
            self._act(tick)
            return
        if self._running.get(task) is not future:
            return  # of a backend that was given up
        del self._running[task]
        error = future.exception()
        if error is None:
            self._finish(task, Record(**future.result()))
        else:
            self._fail(task, error)

    def _finish(self, task: Task, record: Record) -> None:
        self._num_reloads = 0
        data: dict[str, Any] = {
            "task": task.name,
            "id": record.id,
            "started": record.started,
            "cores": record.cores,
        }
        data |= {
            "seconds": record.seconds,
            "work_s": record.result.get("seconds", record.seconds),
            "worker": f"{record.host}:{record.pid}",
        }
        data |= {key: record.result[key] for key in REPORTED if key in record.result}
        self._record(Event("finished", self._elapsed(), data))

    def _fail(self, task: Task, error: BaseException) -> None:
        if isinstance(error, PausedError) and self._signal is not None:
            return  # as it was asked to
        assert self._backend is not None
        self._error, self._is_pool_lost = error, self._backend.is_lost
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        self._display.note(f"{task.name}: {reason}")
        failure = failure_class(error)
        data = {
            "task": task.name,
            "reason": reason,
            "class": failure,
            "retry": failure == "infrastructure",
        }
        self._record(Event("failed", self._elapsed(), data))

    def _give_up_running(self) -> None:
        """A lost pool takes the tasks in its other pools with it: they are run again."""
        running, self._running = self._running, {}
        if self._stop is None and self._signal is None:
            self._new += running

    def _record(self, event: Event) -> None:
        event = Event(event.kind, event.elapsed_s, {**event.data, "time": round(time.time(), 3)})
        self._ledger.append(event)
        self._state.apply(event)
        self._act(event)

    def _act(self, event: Event) -> None:
        submitted = []
        for action in step(self._state, event):
            match action:
                case Submit(task):
                    submitted.append(task)
                case Drop(tasks):
                    self._record(
                        Event("dropped", self._elapsed(), {"tasks": [task.name for task in tasks]})
                    )
                case Quarantine(task, reason):
                    self._display.note(
                        f"{task.name} is set aside; see gcd-hpc failures {self._run_dir}"
                    )
                    self._record(
                        Event("quarantined", self._elapsed(), {"task": task.name, "reason": reason})
                    )
                case Stop():
                    self._stop = action
        if submitted and self._signal is None:
            self._new += submitted
            self._record(
                Event("submitted", self._elapsed(), {"tasks": [task.name for task in submitted]})
            )

    def _show(self) -> None:
        # A snapshot looks at files: not after every one of a hundred tasks a second.
        if time.monotonic() - self._shown < SHOW_S:
            return
        self._shown = time.monotonic()
        self._display.show(
            snapshot(self._config, self._state, self._run_dir, self._elapsed(), self._pace)
        )

    def _elapsed(self) -> float:
        return self._before_s + time.monotonic() - self._clock

    def _on_signal(self, number: int, _: Any) -> None:
        self._is_impatient |= self._signal is not None and number == signal.SIGINT
        self._signal = number


@contextmanager
def _handling(handler: Callable[[int, Any], None]) -> Iterator[None]:
    """Let ``handler`` receive the signals that pause a campaign; restore the old handlers after."""
    before = {
        number: signal.signal(number, handler)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
    }
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
