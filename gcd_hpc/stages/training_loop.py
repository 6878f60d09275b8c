"""Training of a model with checkpoints, progress and pauses, by any number of processes."""

import json
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from gcd_hpc.errors import CheckpointError
from gcd_hpc.files import replacing
from gcd_hpc.learning.model_file import ModelCard, load_model, save_model
from gcd_hpc.learning.sources import TrainingSource
from gcd_hpc.learning.training import (
    BoundaryTraining,
    Process,
    measured_units,
    model_card,
    training_batches,
)
from gcd_hpc.networks.checkpoint import load_state, save_state
from gcd_hpc.stages.course import Course
from gcd_hpc.stages.record import Begun
from gcd_hpc.stages.result import StageResult

STATE_KEYS = {"step", "network", "ema", "optimizer", "plateau", "validation_loss"}
"""Entries that the checkpoint of a boundary model must have."""
Weights = dict[str, torch.Tensor]


@dataclass(frozen=True)
class TrainingFiles:
    """Files of one training."""

    model: Path
    state: Path
    """Checkpoint, which is removed when the model is written."""
    progress: Path
    pause: Path
    """The training pauses while this file exists."""


@dataclass(frozen=True)
class TrainingJob:
    """What is trained.

    weights, before: of the model that training starts from; None for random weights.
    held_out: boundaries that are not learned from, whose loss the card states.
    dtype: number format of the weights in the file.
    """

    sources: Sequence[TrainingSource]
    version: int
    num_steps: int
    files: TrainingFiles
    weights: Weights | None = None
    before: ModelCard | None = None
    held_out: Sequence[TrainingSource] = ()
    dtype: Literal["float32", "bfloat16"] = "float32"


class Pause:
    """Request to pause a training, by a signal to any process or by the file RUN/pause."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._looked = float("-inf")
        self._wanted = False

    def listen(self) -> None:
        """Handle SIGTERM and SIGUSR1 as requests to pause."""
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, self._on_signal)

    def wanted(self, process: Process) -> bool:
        """True if this process received a request; rank 0 looks for the file once a second."""
        if process.rank == 0 and time.monotonic() - self._looked >= 1.0:
            self._looked = time.monotonic()
            self._wanted |= self._file.exists()
        return self._wanted

    def _on_signal(self, *_: object) -> None:
        self._wanted = True


class Paused(Exception):
    """The training has paused, and its checkpoint is written."""


def carry_out(
    job: TrainingJob,
    begun: Begun,
    process: Process,
    pause: Pause | None = None,
    on_step: Callable[[int, int], None] | None = None,
    beside: Callable[[], None] = lambda: None,
) -> None:
    """Train to the end from the last checkpoint, and write the model file with its record.

    Args:
        begun: clocks of the task.
        on_step: called with the number of steps done and their total after each of them.
        beside: work of the first process before its first step, for which the others wait.

    Raises:
        Paused: after a request to pause; the same call resumes.
        TrainingError: if the loss or weights become non-finite; no model file is written.
    """
    files, before = job.files, job.before
    saved = read_checkpoint(files.state, process)
    num_parts = before.num_parts if before else None
    process = keep_parts(process, saved.get("num_parts") if saved else num_parts)
    units = measured_units(job.sources) if before is None else before.units
    fit, validation = training_batches(job.sources, units, job.version)
    state = BoundaryTraining(fit, validation, process, job.num_steps, job.weights)
    if saved is not None:
        state.restore(saved)
    if process.rank == 0:
        beside()
    started = time.perf_counter()
    earlier_s = 0.0 if saved is None else float(saved.get("cpu_s", 0.0))

    def spent_s() -> float:
        """Processor time of all ranks, and of sessions that were paused. All ranks call it."""
        return earlier_s + process.world * process.agree(begun.cpu_s())[0]

    run(state, files, pause or Pause(files.pause), spent_s, on_step)
    card = model_card(state, job.sources, units, job.version, before, job.held_out)
    cpu_s = spent_s()
    # Rank 0 writes the EMA weights with their record; the checkpoint is then not needed any more.
    if process.rank == 0:
        result = StageResult(num=job.num_steps, seconds=time.perf_counter() - started)
        entries = begun.attribute(result, cpu_s)
        weights = in_format(state.trainer.average.weights, job.dtype)
        save_model(files.model, weights, card, entries)
        files.state.unlink(missing_ok=True)
    process.wait_for_all()


def in_format(weights: Weights, dtype: Literal["float32", "bfloat16"]) -> Weights:
    """Weights in the number format of a file."""
    return {name: one.to(getattr(torch, dtype)) for name, one in weights.items()}


def read_checkpoint(checkpoint: Path, process: Process) -> dict[str, Any] | None:
    """Read the checkpoint on rank 0 and share it with all processes; None if there is none.

    A damaged checkpoint counts as none, and training starts again.
    """
    saved = None
    # Only rank 0 reads, because a network file system may show other ranks an older file.
    if process.rank == 0 and checkpoint.exists():
        try:
            found = load_state(checkpoint)
            if missing := STATE_KEYS - found.keys():
                raise CheckpointError(f"{checkpoint}: no {', '.join(sorted(missing))} in it")
            saved = found
            print(f"resumed at step {saved['step']}", flush=True)
        except CheckpointError as error:
            print(f"{error}; training begins again at step 0", flush=True)
    shared: dict[str, Any] | None = process.shared(saved)
    return shared


def keep_parts(process: Process, num_parts: int | None) -> Process:
    """Keep the number of batch parts of earlier training, so that sums stay the same.

    Warns if the processes cannot share that number of parts evenly.

    Args:
        num_parts: number of parts in the checkpoint or previous model; None if unknown.
    """
    if num_parts is None or num_parts == process.num_parts:
        return process
    if num_parts % process.world == 0:
        return replace(process, num_parts=num_parts)
    if process.rank == 0:
        print(
            f"warning: this run was trained by {num_parts} processes before, now by"
            f" {process.world}: models agree to the rounding of sums only, and candidates differ"
            " from those of an undisturbed run",
            flush=True,
        )
    return process


def run(
    state: BoundaryTraining,
    files: TrainingFiles,
    pause: Pause,
    spent_s: Callable[[], float],
    on_step: Callable[[int, int], None] | None = None,
) -> None:
    """Train to the last step, with progress and checkpoints.

    Args:
        spent_s: processor time so far, which checkpoints keep; called by all processes together.

    Raises:
        Paused: after a checkpoint, as soon as any process has received a request.
        TrainingError: if the loss or weights become non-finite.
    """
    process, trainer = state.process, state.trainer
    is_first = process.rank == 0
    started, reported = time.perf_counter(), 0.0
    saved_step = trainer.step
    recent: list[float] = []
    course = Course.of(files.progress, trainer.step) if is_first else Course(trainer.step)
    for own_loss in trainer.steps(state.num_steps):
        # All processes agree on the mean loss and on pausing, so that they stop at the same step.
        loss, is_paused = process.agree(own_loss, pause.wanted(process))
        recent = [*recent[-99:], loss]
        is_last = trainer.step == state.num_steps
        if on_step is not None:
            on_step(trainer.step, state.num_steps)
        # Rank 0 saves checkpoints and, at most once a second, the progress.
        is_checkpoint = is_last or trainer.step % state.checkpoint_every == 0
        if is_checkpoint:
            state.validate()
        if is_checkpoint or is_paused:
            cpu_s = spent_s()
            saved_step = trainer.step
            if is_first:
                save_state(files.state, state.state() | {"cpu_s": cpu_s})
        if is_first and (is_last or is_paused or time.perf_counter() - reported > 1.0):
            reported = time.perf_counter()
            loss_now, seconds = float(np.mean(recent)), reported - started
            course.add(trainer.step, loss_now, state.validation_loss)
            write_progress(files.progress, state, saved_step, seconds, course)
        # Pause after the checkpoint is written.
        if is_paused and not is_last:
            if is_first:
                print(f"paused at step {trainer.step} of {state.num_steps}", flush=True)
            process.wait_for_all()
            raise Paused


def write_progress(
    path: Path, state: BoundaryTraining, saved_step: int, seconds: float, course: Course
) -> None:
    """Write the progress file that the driver reads.

    Args:
        saved_step: step of the last checkpoint, from which another attempt continues.
        seconds: wall time since the session began.
        course: losses so far, the last row of which is the present.
    """
    progress = {
        "step": state.trainer.step,
        "saved_step": saved_step,
        "first_step": course.first_step,
        "num_steps": state.num_steps,
        "loss": course.rows[-1][1],
        "validation_loss": state.validation_loss,
        "seconds": seconds,
        "history": course.rows,
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(progress))


def is_trained(path: Path, read: Callable[[Path], object] = load_model) -> bool:
    """True if a usable model file exists; a damaged one is reported and removed.

    Args:
        read: reads a model file of its kind; raises CheckpointError if it is damaged.
    """
    try:
        read(path)
    except CheckpointError as error:
        if path.exists():
            print(f"{error}; the model is trained anew", flush=True)
            path.unlink()
        return False
    return True
