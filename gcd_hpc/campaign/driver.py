"""Carries a campaign out: asks the policy, submits tasks to Parsl, writes the ledger. The same call resumes, adopts and finishes."""

import errno
import os
import queue
import signal
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gcd_hpc.campaign.directory import CONFIG_NAME, check_same, open_run_directory, settle_config
from gcd_hpc.campaign.fitting import fitted
from gcd_hpc.campaign.launch import PausedError, ProcessLostError
from gcd_hpc.campaign.ledger import Event, Ledger, State, opened, read_events, replay
from gcd_hpc.campaign.policy import AHEAD, Drop, Quarantine, Stop, Submit, step
from gcd_hpc.campaign.progress import Pace, Progress, snapshot
from gcd_hpc.campaign.reaper import KEEP_ENVIRONMENT, TOKEN_NAME, descendants, end, orphans, start_time
from gcd_hpc.campaign.tasks import CHUNKED, Addresses, Plan, Record, Task, find_record
from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.loader import load_campaign
from gcd_hpc.config.site import SiteConfig
from gcd_hpc.errors import GcdError, QuarantineError, RunDirectoryError
from gcd_hpc.stages.layout import pause_file
from gcd_hpc.store.files import remove_leftovers

if TYPE_CHECKING:
    from gcd_hpc.campaign.pools import Pools

Report = Callable[[Path, State], None]
SHOW_S = 0.25
"""Between looks at the progress."""
POLL_S = 0.5
"""Between looks at signals, the wall time and the progress of a stage."""
FailureClass = Literal["infrastructure", "mistake", "bug"]
REPORTED = ("num", "ok", "failed", "invalid", "quarantined", "best", "low", "queue", "model", "promoted", "reason")
"""What the ledger keeps of a task's result."""
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


def _prepare(run_dir: Path, config: CampaignConfig, folder: Path) -> str:
    # Builds the bicrystal and may start LAMMPS: a campaign that is complete must not wait for the imports.
    from gcd_hpc.stages.setting import prepare

    return prepare(run_dir, config, folder).potential.sha256


@dataclass(frozen=True)
class Stages:
    """What the driver calls. Modules are named because they are imported in the process that runs the stage, never in the driver."""

    prepare: Callable[[Path, CampaignConfig, Path], str] = _prepare
    """Checks everything that can be wrong before the first task; returns the hash of the potential."""
    search: str = "gcd_hpc.stages.search"
    select: str = "gcd_hpc.stages.select"
    train: str = "gcd_hpc.stages.train"
    promote: str = "gcd_hpc.stages.promote"
    sample: str = "gcd_hpc.stages.sample"
    relax: str = "gcd_hpc.stages.relax"


@dataclass(frozen=True)
class Outcome:
    """How a call of ``run_campaign`` ended."""

    status: Literal["complete", "paused"]
    reason: str
    state: State
    did_nothing: bool = False
    """The campaign was complete before."""


def finished_before(config: CampaignConfig, site: SiteConfig, run_dir: Path, until: str | None = None) -> Outcome | None:
    """The outcome of a campaign that is complete already, from its ledger alone.

    Raises:
        RunDirectoryError: if the run directory holds another campaign.
    """
    if not (run_dir / CONFIG_NAME).exists():
        return None
    check_same(run_dir, load_campaign(run_dir / CONFIG_NAME), config)
    state = replay(read_events(run_dir))
    if state.plan is None or not state.reported:
        return None
    state.plan = Plan.of(config, site.resolved(), until)
    actions = step(state, Event("opened", state.elapsed_s))
    stop = actions[0] if len(actions) == 1 else None
    return Outcome("complete", stop.reason, state, did_nothing=True) if isinstance(stop, Stop) else None


def run_campaign(
    config: CampaignConfig,
    site: SiteConfig,
    run_dir: Path,
    campaign_folder: Path,
    progress: Progress | None = None,
    stages: Stages | None = None,
    report: Report | None = None,
    until: str | None = None,
) -> Outcome:
    """Carry a campaign out, or the rest of it.

    Args:
        campaign_folder: where a potential file is looked for first.
        report: writes what the reader wants, from the run directory and the final state.
        until: phase to end after, e.g. ``search`` or ``train-01``.

    Raises:
        GcdError: if the user can mend what went wrong; the same call goes on from there.
    """
    run_dir = run_dir.absolute()
    before = finished_before(config, site, run_dir, until)
    if before is not None:
        return before
    called = time.monotonic()
    stages = stages or Stages()
    site = fitted(site, config.training.batch_size, needs_launchers=until not in ("search", "select-01"))
    plan = Plan.of(config, site, until)
    try:
        open_run_directory(run_dir)
        with Ledger(run_dir) as ledger:
            state = replay(read_events(run_dir))
            check_mode(run_dir, state.plan, plan)
            end(orphans(state.drivers))
            settle_config(run_dir, config)
            remove_leftovers(run_dir)
            pause_file(run_dir).unlink(missing_ok=True)
            addresses = Addresses(config, stages.prepare(run_dir, config, campaign_folder), plan.mode)
            with progress or Progress() as display:
                outcome = Driver(config, site, run_dir, stages, addresses, ledger, state, display, called).run(plan)
                if outcome.status == "complete":
                    if report is not None:
                        report(run_dir, state)
                    ledger.append(Event("reported", state.elapsed_s))
                return outcome
    except OSError as error:
        if not _is_disk_error(error):
            raise
        where, what = error.filename or run_dir, (error.strerror or str(error)).lower()
        raise RunDirectoryError(f"{where}: expected a place to write to, got: {what}") from error


def check_mode(run_dir: Path, before: Plan | None, plan: Plan) -> None:
    """A run keeps the mode that it was started in: tasks of the two modes are cut differently.

    Raises:
        RunDirectoryError: if the site asks for the other mode.
    """
    if before is not None and before.mode != plan.mode:
        cure = "choose a site of the old mode or another --run-dir"
        raise RunDirectoryError(f"{run_dir} holds a campaign in {before.mode} mode, got a site with mode: {plan.mode}; {cure}")


class Driver:
    """One session of a campaign."""

    def __init__(
        self,
        config: CampaignConfig,
        site: SiteConfig,
        run_dir: Path,
        stages: Stages,
        addresses: Addresses,
        ledger: Ledger,
        state: State,
        display: Progress,
        called: float,
    ) -> None:
        self._config, self._site, self._run_dir, self._stages = config, site, run_dir, stages
        self._addresses, self._ledger, self._state, self._display = addresses, ledger, state, display
        self._token = uuid.uuid4().hex
        self._before_s, self._clock = state.elapsed_s, called
        self._pace, self._shown = Pace(), float("-inf")
        self._new: list[Task] = []
        """Submitted by the policy; an earlier session may have finished them."""
        self._ready: list[Task] = []
        self._chunks: deque[Task] = deque()
        """Of the relaxation workers, to be handed over as these become free: what Parsl has cannot be taken back when a signal comes."""
        self._done: queue.SimpleQueue[tuple[Task, Future]] = queue.SimpleQueue()
        self._running: dict[Task, Future] = {}
        self._pools: Pools | None = None
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
        with self._marked(), _handling(self._on_signal):
            self._record(opened(plan, self._token, os.getpid(), start_time(os.getpid()), self._elapsed(), time.monotonic() - self._clock))
            try:
                while self._stop is None and self._signal is None:
                    with ExitStack() as stack:
                        self._loop(stack)
                        self._drain()
                    self._give_up_running()
            finally:
                # Also the processes of torchrun and mpiexec, of which Parsl does not know.
                end(descendants([self._token]))
        if self._stop is None:
            self._record(Event("paused", self._elapsed()))
            return Outcome("paused", signal.Signals(self._signal or signal.SIGTERM).name, self._state)
        if self._stop.failed:
            self._record(Event("stopped", self._elapsed(), {"reason": self._stop.reason, "failed": True}))
            if self._error is None or self._stop.is_quarantine:
                raise QuarantineError(f"{self._run_dir}: {self._stop.reason}") from self._error
            raise self._error
        self._record(Event("stopped", self._elapsed(), {"reason": self._stop.reason}))
        return Outcome("complete", self._stop.reason, self._state)

    def _loop(self, stack: ExitStack) -> None:
        """Work with one loaded Parsl, until the end or until Parsl is of no more use."""
        self._pools = None
        self._is_pool_lost = False
        while self._stop is None and self._signal is None and not self._is_pool_lost:
            self._adopt()
            if (self._ready or self._chunks) and self._stop is None:
                if self._pools is None:
                    # Parsl takes 0.3 s to import: only when there is something to run.
                    from gcd_hpc.campaign import pools as parsl_pools

                    num_batches = self._state.plan.num_batches if self._state.plan else 1
                    self._pools = stack.enter_context(parsl_pools.Pools(self._site, self._run_dir, self._stages, num_batches))
                self._submit(self._pools)
            self._show()
            self._collect()

    def _drain(self) -> None:
        """After a signal: no new work; what runs is finished as far as the site's time allows, and training writes a checkpoint."""
        if self._signal is None or self._stop is not None or not self._running:
            return
        deadline = time.monotonic() + self._site.drain_s
        limit = f"{self._site.drain_s:g} s at most"
        self._display.note(f"{signal.Signals(self._signal).name}: finishing what runs, {limit}; Ctrl-C stops at once")
        pause_file(self._run_dir).touch()
        while self._running and time.monotonic() < deadline and self._stop is None and not self._is_impatient:
            self._show()
            self._collect()

    def _adopt(self) -> None:
        """Count new tasks that an earlier session finished; their phase may end with that, and newer tasks follow."""
        while self._new and self._stop is None:
            new, self._new = self._new, []
            for task in new:
                record = find_record(self._run_dir, task, self._addresses.of(task))
                if record is not None:
                    self._finish(task, record)
                elif task.stage in CHUNKED:
                    self._chunks.append(task)
                else:
                    self._ready.append(task)

    def _submit(self, pools: "Pools") -> None:
        assert self._state.plan is not None
        workers = self._state.plan.relaxation_workers
        room = workers + max(1, workers // AHEAD) - sum(task.stage in CHUNKED for task in self._running)
        chunks = [self._chunks.popleft() for _ in range(min(room, len(self._chunks)))]
        for task in (*self._ready, *chunks):
            future = pools.submit(task, self._addresses.of(task))
            self._running[task] = future
            future.add_done_callback(partial(self._put, task))
        self._ready = []

    def _put(self, task: Task, future: Future) -> None:
        # Called in a thread of Parsl's.
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
            return  # of a Parsl that was given up
        del self._running[task]
        error = future.exception()
        if error is None:
            self._finish(task, Record(**future.result()))
        else:
            self._fail(task, error)

    def _finish(self, task: Task, record: Record) -> None:
        data: dict[str, Any] = {"task": task.name, "id": record.id, "started": record.started, "cores": record.cores}
        data |= {"seconds": record.seconds, "work_s": record.result.get("seconds", record.seconds), "worker": f"{record.host}:{record.pid}"}
        data |= {key: record.result[key] for key in REPORTED if key in record.result}
        self._record(Event("finished", self._elapsed(), data))

    def _fail(self, task: Task, error: BaseException) -> None:
        if isinstance(error, PausedError) and self._signal is not None:
            return  # as it was asked to
        assert self._pools is not None
        self._error, self._is_pool_lost = error, self._pools.is_lost(error)
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        self._display.note(f"{task.name}: {reason}")
        failure = failure_class(error)
        data = {"task": task.name, "reason": reason, "class": failure, "retry": failure == "infrastructure"}
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
                    self._record(Event("dropped", self._elapsed(), {"tasks": [task.name for task in tasks]}))
                case Quarantine(task, reason):
                    self._display.note(f"{task.name} is set aside; see gcd-hpc failures {self._run_dir}")
                    self._record(Event("quarantined", self._elapsed(), {"task": task.name, "reason": reason}))
                case Stop():
                    self._stop = action
        if submitted and self._signal is None:
            self._new += submitted
            self._record(Event("submitted", self._elapsed(), {"tasks": [task.name for task in submitted]}))

    def _show(self) -> None:
        # A snapshot looks at files: not after every one of a hundred tasks a second.
        if time.monotonic() - self._shown < SHOW_S:
            return
        self._shown = time.monotonic()
        self._display.show(snapshot(self._config, self._state, self._run_dir, self._elapsed(), self._pace))

    def _elapsed(self) -> float:
        return self._before_s + time.monotonic() - self._clock

    def _on_signal(self, number: int, _: Any) -> None:
        self._is_impatient |= self._signal is not None and number == signal.SIGINT
        self._signal = number

    @contextmanager
    def _marked(self) -> Iterator[None]:
        """Every process started meanwhile carries this driver's token."""
        variables = {TOKEN_NAME: self._token, **KEEP_ENVIRONMENT}
        before = {name: os.environ.get(name) for name in variables}
        os.environ.update(variables)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


def failure_class(error: BaseException) -> FailureClass:
    """Why a task failed: its process was lost, the user can mend it, or it should not have happened."""
    from parsl.executors.errors import BadStateException
    from parsl.executors.high_throughput.errors import ManagerLost, WorkerLost

    if isinstance(error, (WorkerLost, ManagerLost, BadStateException, ProcessLostError, PausedError)):
        return "infrastructure"
    return "mistake" if isinstance(error, GcdError) or _is_disk_error(error) else "bug"


def _is_disk_error(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in DISK_ERRORS


@contextmanager
def _handling(handler: Callable[[int, Any], None]) -> Iterator[None]:
    """Signals that pause a campaign go to ``handler``; the handlers of before come back afterwards."""
    before = {number: signal.signal(number, handler) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
