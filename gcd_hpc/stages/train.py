"""Training of one model version, by any number of processes.

On one machine ``python -m gcd_hpc.workers.ranks NUM gcd_hpc.stages.train RUN VERSION`` starts it,
on several ``torchrun -m gcd_hpc.stages.train RUN VERSION``. The same command resumes from the last
checkpoint. The file RUN/pause, SIGTERM or SIGUSR1 end it with a checkpoint and exit code 75.
"""

import io
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from gcd_hpc.errors import CheckpointError, GcdError, LaunchError, TrainingError
from gcd_hpc.files import replacing
from gcd_hpc.learning.boundary import BoundarySystem, load_boundary_system
from gcd_hpc.learning.decoding import prepare_decoder
from gcd_hpc.learning.model_file import ModelCard, check_elements, load_model, save_model
from gcd_hpc.learning.sources import TrainingSource
from gcd_hpc.learning.training import (
    BoundaryTraining,
    Process,
    measured_units,
    model_card,
    training_batches,
)
from gcd_hpc.networks.checkpoint import load_state, save_state
from gcd_hpc.stages.launched import STORE_NAME, report_error, report_start
from gcd_hpc.stages.record import begin
from gcd_hpc.stages.result import StageResult
from gcd_hpc.stages.table import Task
from gcd_hpc.store.parts import read_part
from gcd_hpc.store.run_directory import RunDirectory

PAUSED = os.EX_TEMPFAIL
"""Exit code of a training that paused and can resume from its checkpoint."""
STATE_KEYS = {"step", "network", "ema", "optimizer", "plateau", "validation_loss"}
"""Entries that the checkpoint of a boundary model must have."""
PATIENCE = timedelta(hours=2)
"""Timeout of collectives: rank 0 may train the learned decoder while the others wait.

gloo notices a lost process at once.
"""


class Ranks(Process):
    """Process group of a launched training, on gloo or NCCL."""

    @classmethod
    def join(cls) -> Process:
        """Join the processes of the launch; a single process needs no group.

        Raises:
            LaunchError: if a node has more processes than GPUs.
        """
        rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        cuda, local = torch.cuda.is_available(), int(os.environ.get("LOCAL_RANK", 0))
        if cuda and local >= torch.cuda.device_count():
            raise LaunchError(
                f"training cannot start {local + 1} processes on a node with"
                f" {torch.cuda.device_count()} GPUs, because each needs one; lower"
                " training.processes_per_node of the site"
            )
        device = torch.device("cuda", local) if cuda else torch.device("cpu")
        if cuda:
            torch.cuda.set_device(device)
        if world == 1:
            return Process(device)
        options: dict[str, Any] = {"timeout": PATIENCE}
        if STORE_NAME in os.environ:
            store = dist.FileStore(os.environ[STORE_NAME], world)
            options |= {"store": store, "rank": rank, "world_size": world}
        dist.init_process_group("nccl" if cuda else "gloo", **options)
        return cls(device, rank, world, world)

    def agree(self, value: float, flag: bool = False) -> tuple[float, bool]:
        both = torch.tensor([value, float(flag)], dtype=torch.float64, device=self.device)
        dist.all_reduce(both)
        return float(both[0]) / self.world, bool(both[1])

    def shared(self, value: Any) -> Any:
        # torch's broadcast_object_list unpickles received data, so that anyone who connects could
        # run code. torch.load with weights_only cannot.
        buffer = io.BytesIO()
        torch.save(value, buffer)
        size = torch.tensor([buffer.tell()], device=self.device)
        dist.broadcast(size, 0)
        data = torch.zeros(int(size), dtype=torch.uint8, device=self.device)
        if self.rank == 0:
            data.copy_(torch.frombuffer(buffer.getbuffer(), dtype=torch.uint8))
        dist.broadcast(data, 0)
        content = io.BytesIO(data.cpu().numpy().tobytes())
        return torch.load(content, map_location="cpu", weights_only=True)

    def wait_for_all(self) -> None:
        # Barrier before exit: a launcher ends all processes when one exits with an error, so rank 0
        # must have written its files.
        dist.barrier()


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


def train(
    run_dir: Path,
    version: int,
    process: Process,
    pause: Pause | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> None:
    """Train model ``version``, starting from the model in use if there is one.

    Args:
        on_step: called with the number of steps done and their total after each of them.

    Raises:
        Paused: after a request to pause; the same call resumes.
        TrainingError: if the loss or weights become non-finite; no model file is written.
    """
    begun = begin(Task("train", version), process.world)
    files = RunDirectory(run_dir)
    system = load_boundary_system(str(run_dir))
    training = system.config.training
    structures = read_part(files.training_set(version))
    # Start from the model in use, and resume from a checkpoint of this version if there is one.
    weights, before = starting_model(files, system, version)
    saved = read_checkpoint(files.training_state(version), process)
    num_parts = before.num_parts if before else None
    process = keep_parts(process, saved.get("num_parts") if saved else num_parts)

    source = TrainingSource(system, structures, system.config.name)
    units = measured_units([source]) if before is None else before.units
    fit, validation = training_batches([source], units, version)
    num_steps = training.num_steps if before is None else training.retrain_steps
    state = BoundaryTraining(fit, validation, process, num_steps, weights)
    if saved is not None:
        state.restore(saved)
    # Rank 0 trains the learned decoder, if the campaign has one; the others wait in the first step.
    if process.rank == 0:
        prepare_decoder(run_dir, system, structures, process.device)
    started = time.perf_counter()
    earlier_s = 0.0 if saved is None else float(saved.get("cpu_s", 0.0))

    def spent_s() -> float:
        """Processor time of all ranks, and of sessions that were paused. All ranks call it."""
        return earlier_s + process.world * process.agree(begun.cpu_s())[0]

    try:
        run(state, files, version, pause or Pause(files.pause), spent_s, on_step)
    except TrainingError as error:
        raise TrainingError(
            f"model {version}: {error} (training.learning_rate, training.precision) in a new run"
            " directory"
        ) from error
    cpu_s = spent_s()
    card = model_card(state, [source], units, version, before)
    # Rank 0 writes the EMA weights with their record; the checkpoint is then not needed any more.
    if process.rank == 0:
        result = StageResult(num=num_steps, seconds=time.perf_counter() - started)
        entries = begun.attribute(result, cpu_s)
        save_model(files.model_file(version), state.trainer.average.weights, card, entries)
        files.training_state(version).unlink(missing_ok=True)
    process.wait_for_all()


def starting_model(
    files: RunDirectory, system: BoundarySystem, version: int
) -> tuple[dict[str, torch.Tensor] | None, ModelCard | None]:
    """Weights and card of the model in use, from which a later version starts.

    Both are None for version 1 of a campaign that does not start from a model.

    Raises:
        CheckpointError: if the model is damaged or of other elements.
    """
    if version == files.first_model:
        return None, None
    earlier = files.model_file(files.model_in_use(version - 1))
    weights, card = load_model(earlier)
    check_elements(earlier, card, system.channels)
    return weights, card


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
    files: RunDirectory,
    version: int,
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
                save_state(files.training_state(version), state.state() | {"cpu_s": cpu_s})
        if is_first and (is_last or is_paused or time.perf_counter() - reported > 1.0):
            reported = time.perf_counter()
            progress = files.training_progress(version)
            loss_now, seconds = float(np.mean(recent)), reported - started
            write_progress(progress, state, saved_step, loss_now, seconds)
        # Pause after the checkpoint is written.
        if is_paused and not is_last:
            if is_first:
                print(f"paused at step {trainer.step} of {state.num_steps}", flush=True)
            process.wait_for_all()
            raise Paused


def write_progress(
    path: Path, state: BoundaryTraining, saved_step: int, loss: float, seconds: float
) -> None:
    """Write the progress file that the driver reads.

    Args:
        saved_step: step of the last checkpoint, from which another attempt continues.
    """
    progress = {
        "step": state.trainer.step,
        "saved_step": saved_step,
        "num_steps": state.num_steps,
        "loss": loss,
        "validation_loss": state.validation_loss,
        "seconds": seconds,
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(progress))


def is_trained(path: Path) -> bool:
    """True if a usable model file exists; a damaged one is reported and removed."""
    try:
        load_model(path)
    except CheckpointError as error:
        if path.exists():
            print(f"{error}; the model is trained anew", flush=True)
            path.unlink()
        return False
    return True


def main(arguments: list[str]) -> int:
    run_dir, version = Path(arguments[0]), int(arguments[1])
    pause = Pause(RunDirectory(run_dir).pause)
    pause.listen()
    try:
        process = Ranks.join()
        path = RunDirectory(run_dir).model_file(version)
        is_done = process.shared(process.rank == 0 and is_trained(path))
        report_start()  # after the first exchange between all processes
        if is_done:
            return 0
        if process.device.type == "cuda":
            print(f"process {process.rank} of {process.world} on {process.device}", flush=True)
        train(run_dir, version, process, pause)
    except Paused:
        return PAUSED
    except GcdError as error:
        return report_error(error)
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # Skip Python's clean-up: threads of gloo that still run then can abort the process.
    os._exit(code)
