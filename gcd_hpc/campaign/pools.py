"""Running tasks: functions go to Parsl's worker pool, launch lines to its head pool."""

import json
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import parsl
from parsl.app.python import PythonApp

from gcd_hpc.campaign.launch import launch_environment, mpiexec_line, run, torchrun_line
from gcd_hpc.campaign.parsl_pools import HEAD, WORKERS, logging_to, parsl_config
from gcd_hpc.campaign.tasks import Order, Task, call_stage, carry_out
from gcd_hpc.config.site import SiteConfig

PROGRESS_NAMES = {"train": "progress.json", "sample": "sampling.json"}


class Modules(Protocol):
    """Names of the stage modules."""

    @property
    def search(self) -> str: ...
    @property
    def select(self) -> str: ...
    @property
    def train(self) -> str: ...
    @property
    def sample(self) -> str: ...
    @property
    def relax(self) -> str: ...


class Pools:
    """Parsl while it is loaded."""

    def __init__(self, site: SiteConfig, run_dir: Path, modules: Modules) -> None:
        self._site, self._run_dir, self._modules = site, run_dir, modules
        self._stack = ExitStack()

    def __enter__(self) -> "Pools":
        self._stack.enter_context(logging_to(self._run_dir / "logs" / "parsl.log"))
        kernel = self._stack.enter_context(parsl.load(parsl_config(self._site, self._run_dir)))
        self._workers = PythonApp(call_stage, data_flow_kernel=kernel, executors=[WORKERS])
        self._head = PythonApp(call_launch, data_flow_kernel=kernel, executors=[HEAD])
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._stack.__exit__(kind, error, traceback)

    def submit(self, task: Task, task_id: str) -> Future:
        """Start a task; the future holds its record."""
        match task.stage:
            case "search":
                return self._workers(self._order(task, task_id, 1), self._modules.search, "search_chunk", (task.chunk,))
            case "select":
                return self._workers(self._order(task, task_id, 1), self._modules.select, "select", (task.version,))
            case "relax":
                return self._workers(self._order(task, task_id, 1), self._modules.relax, "relax_chunk", (task.version, task.chunk))
            case "train":
                return self._launch(task, task_id, self._site.training_processes)
            case "sample":
                return self._launch(task, task_id, self._site.sampling_ranks)

    def _launch(self, task: Task, task_id: str, num_processes: Any) -> Future:
        arguments = (str(self._run_dir), str(task.version))
        if task.stage == "train":
            line = torchrun_line(num_processes, self._modules.train, arguments)
        else:
            line = mpiexec_line(self._site.mpiexec, num_processes, self._modules.sample, arguments)
        assert isinstance(self._site.cores, int)
        environment = launch_environment(max(1, self._site.cores // num_processes))
        return self._head(self._order(task, task_id, num_processes), line, environment)

    def _order(self, task: Task, task_id: str, cores: int) -> Order:
        return Order(str(self._run_dir), task.name, task_id, cores)


def call_launch(order: Order, line: list[str], environment: dict[str, str]) -> dict[str, Any]:
    """A task that is a parallel job, started from a Parsl worker that waits for it."""
    log = Path(order.run_dir) / "logs" / f"{order.task}.log"

    def work() -> dict[str, Any]:
        run(line, log, environment)
        return launched_result(Path(order.run_dir), Task.parse(order.task))

    return carry_out(order, work)


def launched_result(run_dir: Path, task: Task) -> dict[str, Any]:
    """What a launched stage reports in its progress file: steps and the seconds that it worked."""
    try:
        progress = json.loads((run_dir / "models" / f"{task.version:02d}" / PROGRESS_NAMES[task.stage]).read_text())
        return {"num": int(progress["num_steps"]), "seconds": float(progress["seconds"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
