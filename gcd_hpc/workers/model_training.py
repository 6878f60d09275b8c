"""The processes that train a model of many boundaries on this machine, with a progress bar."""

import json
import os
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from gcd_hpc.store.training_folder import TrainingFolder
from gcd_hpc.workers.launch import run
from gcd_hpc.workers.lines import LOOPBACK

MODULE = "gcd_hpc.stages.train_model"
LOOK_S = 0.2
SECONDS_BETWEEN_LINES = 30.0


@dataclass(frozen=True)
class ModelTraining:
    """A prepared training and the number of its processes."""

    folder: TrainingFolder
    num_processes: int

    def run(self, screen: Console) -> None:
        """Train until the model file is written, then remove the folder.

        Raises:
            PausedError: after a request to pause, by the file ``pause`` of the folder.
            LaunchError: if a process fails; the message names the log.
        """
        self.folder.pause.unlink(missing_ok=True)
        errors: list[BaseException] = []

        def work() -> None:
            try:
                self._launch()
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        self._watch(thread, screen)
        if errors:
            self.folder.pause.unlink(missing_ok=True)
            raise errors[0]
        self._clear()

    def _launch(self) -> None:
        cores = len(os.sched_getaffinity(0))
        line = [sys.executable, "-m", "gcd_hpc.workers.ranks", str(self.num_processes), MODULE]
        environment = {
            "OMP_NUM_THREADS": str(max(1, cores // self.num_processes)),
            "PYTHONUNBUFFERED": "1",
            **LOOPBACK,
        }
        folder = self.folder
        run([*line, str(folder.path.absolute())], folder.log, environment, folder.progress)

    def _watch(self, thread: threading.Thread, screen: Console) -> None:
        """Show steps, loss and remaining time: a bar in a terminal, lines otherwise."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
        )
        bar = Progress(
            *columns,
            console=screen,
            speed_estimate_period=120.0,
            disable=not screen.is_terminal,
        )
        seen = -1.0
        waited = SECONDS_BETWEEN_LINES
        with bar:
            task = bar.add_task("training", total=None, loss="-")
            while thread.is_alive():
                thread.join(LOOK_S)
                waited += LOOK_S
                state = self._progress()
                if not state or state["step"] == seen:
                    continue
                seen = state["step"]
                loss = f"{state['loss']:.4f}"
                bar.update(task, total=state["num_steps"], completed=seen, loss=loss)
                is_due = waited >= SECONDS_BETWEEN_LINES or seen == state["num_steps"]
                if not screen.is_terminal and is_due:
                    waited = 0.0
                    screen.print(f"step {seen} of {state['num_steps']}, loss {loss}")

    def _progress(self) -> dict[str, float]:
        with suppress(OSError, ValueError):
            state = json.loads(self.folder.progress.read_text())
            if isinstance(state, dict):
                return state
        return {}

    def _clear(self) -> None:
        """Remove what only the training needed."""
        sets = self.folder.training_set(0).parent
        for path in (*sets.glob("*.h5"), *self.folder.path.glob("*")):
            if path.is_file():
                path.unlink()
        sets.rmdir()
        self.folder.path.rmdir()
