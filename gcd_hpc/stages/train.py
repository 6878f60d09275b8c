"""Training of one model version, under torchrun with any number of processes: ``torchrun -m
gcd_hpc.stages.train RUN VERSION``.

The same command resumes from the last checkpoint. Sample ``slot`` of step ``step`` has its own
random stream, so the model does not depend on the number of processes beyond the rounding of sums.
The file RUN/pause, SIGTERM or SIGUSR1 end it with a checkpoint and code 75.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from gcd_hpc.diffusion.inpainting import inpainting_loss
from gcd_hpc.diffusion.process import Schedule
from gcd_hpc.errors import CheckpointError, GcdError, LaunchError
from gcd_hpc.files import replacing
from gcd_hpc.learning.assembly import grid_of, known_mask
from gcd_hpc.learning.batches import (
    FIT,
    NUM_CONDITIONS,
    VALIDATE,
    Batch,
    ConditionScale,
    Sampler,
    hold_out,
    voxel_scale,
)
from gcd_hpc.learning.boundary import BoundarySystem, load_boundary_system
from gcd_hpc.learning.decoding import prepare_decoder
from gcd_hpc.networks.checkpoint import load, load_state, load_weights, save, save_state
from gcd_hpc.networks.ema import EMA
from gcd_hpc.networks.precision import autocast_dtype
from gcd_hpc.networks.unet import UNet
from gcd_hpc.seeds import TRAINING, generator
from gcd_hpc.store.parts import read_part
from gcd_hpc.store.run_directory import RunDirectory

NUM_VALIDATION_BATCHES = 16
PAUSED = os.EX_TEMPFAIL
"""Exit code of a training that was asked to stop and can go on from its checkpoint."""
PATIENCE = timedelta(hours=2)
"""How long processes wait for one another: the first may train the learned decoder meanwhile. A
lost one is noticed at once by gloo.
"""


@dataclass(frozen=True)
class Process:
    """This process among those of torchrun; alone without it."""

    rank: int
    world: int
    device: torch.device

    @classmethod
    def join(cls) -> "Process":
        rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        cuda, local = torch.cuda.is_available(), int(os.environ.get("LOCAL_RANK", 0))
        if cuda and local >= torch.cuda.device_count():
            raise LaunchError(
                f"expected at most one process for each of the {torch.cuda.device_count()} GPUs of"
                f" a node, got {local + 1}"
            )
        device = torch.device("cuda", local) if cuda else torch.device("cpu")
        if cuda:
            torch.cuda.set_device(device)
        if world > 1:
            dist.init_process_group("nccl" if cuda else "gloo", timeout=PATIENCE)
        return cls(rank, world, device)

    def slots(self, batch_size: int) -> range:
        """The share of each global batch that this process computes."""
        if batch_size % self.world:
            raise LaunchError(
                "training.batch_size must be a multiple of the number of processes, got"
                f" {batch_size} and {self.world}"
            )
        share = batch_size // self.world
        return range(self.rank * share, (self.rank + 1) * share)

    def mean(self, value: torch.Tensor) -> float:
        """Mean over all processes of one number each."""
        if self.world > 1:
            dist.all_reduce(value)
        return float(value) / self.world

    def agree(self, loss: float, wants_pause: bool) -> tuple[float, bool]:
        """Mean loss over all processes, and whether any of them wants to pause: the same answer in
        all.
        """
        if self.world == 1:
            return loss, wants_pause
        both = torch.tensor([loss, float(wants_pause)], dtype=torch.float64, device=self.device)
        dist.all_reduce(both)
        return float(both[0]) / self.world, bool(both[1])

    def shared(self, value: Any) -> Any:
        """What the first process has, in all of them."""
        if self.world == 1:
            return value
        held = [value]
        dist.broadcast_object_list(held, device=self.device)
        return held[0]

    def wait_for_all(self) -> None:
        """torchrun ends the others as soon as one has ended badly: not before the first has written
        its files.
        """
        if self.world > 1:
            dist.barrier()


class Pause:
    """Whether this training was asked to stop: by a signal to any of its processes, or by a file
    that the first one looks for.
    """

    def __init__(self, file: Path) -> None:
        self._file, self._looked, self._wanted = file, float("-inf"), False

    def listen(self) -> None:
        """Take SIGTERM and SIGUSR1 as requests from now on."""
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, self._on_signal)

    def wanted(self, process: Process) -> bool:
        if process.rank == 0 and time.monotonic() - self._looked >= 1.0:
            self._looked = time.monotonic()
            self._wanted |= self._file.exists()
        return self._wanted

    def _on_signal(self, *_: object) -> None:
        self._wanted = True


class Paused(Exception):
    """Training has stopped between two steps; its checkpoint is written."""


class Training:
    """Everything that a checkpoint holds, and one step of it."""

    def __init__(
        self,
        setting: BoundarySystem,
        sampler: Sampler,
        validation: Sampler,
        process: Process,
        num_steps: int,
    ) -> None:
        self.setting, self.sampler, self.validation, self.process, self.num_steps = (
            setting,
            sampler,
            validation,
            process,
            num_steps,
        )
        config = setting.config
        torch.manual_seed(int(generator(config.seed, TRAINING, 0).integers(2**62)))
        self.network = UNet(config.network, NUM_CONDITIONS).to(process.device)
        self.ema = EMA(self.network, config.training.ema_decay)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(),
            config.training.learning_rate,
            weight_decay=config.training.weight_decay,
        )
        self.plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
            self.optimizer, factor=0.5, patience=4, min_lr=config.training.min_learning_rate
        )
        self.schedule = Schedule(config.diffusion.schedule)
        known = known_mask(config.voxels.shape, config.voxels.known).to(process.device)
        # An empty mask shows and spares nothing: the loss is over all voxels, and the network
        # learns of no known layers.
        self.mask = known if config.diffusion.inpainting == "palette" else torch.zeros_like(known)
        self.dtype = autocast_dtype(config.training.precision, process.device)
        self.step, self.validation_loss = 0, float("nan")
        wrapped = DistributedDataParallel(self.network) if process.world > 1 else self.network
        compiled = (
            process.device.type == "cuda"
            if config.training.compile == "auto"
            else config.training.compile
        )
        self.model = torch.compile(wrapped) if compiled else wrapped

    def start_from(self, weights: dict[str, torch.Tensor], source: Path) -> None:
        """Begin with the weights of an earlier model."""
        load_weights(self.network, weights, source)
        self.ema = EMA(self.network, self.ema.decay)

    def averaged(self, *inputs: torch.Tensor) -> torch.Tensor:
        """The network with the averaged weights."""
        return torch.func.functional_call(self.network, self.ema.weights, inputs)

    def loss(self, model: Callable[..., torch.Tensor], batch: Batch) -> torch.Tensor:
        tensors = [
            getattr(batch, name).to(self.process.device)
            for name in ("clean", "time", "noise", "condition", "has_condition")
        ]
        clean, t, noise, condition, has_condition = tensors
        with torch.autocast(self.process.device.type, self.dtype, enabled=self.dtype is not None):
            return inpainting_loss(
                model,
                self.schedule,
                self.setting.config.diffusion.prediction,
                clean,
                self.mask,
                t,
                noise,
                condition,
                has_condition,
            )

    def advance(self) -> float:
        """One optimiser step; the loss of this process's share."""
        training = self.setting.config.training
        if training.learning_rate_schedule == "cosine":
            for group in self.optimizer.param_groups:
                group["lr"] = cosine_rate(
                    self.step, self.num_steps, training.learning_rate, training.min_learning_rate
                )
        batch = self.sampler.batch(
            FIT, self.step, self.process.slots(training.batch_size), training.batch_size
        )
        loss = self.loss(self.model, batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.ema.update(self.network)
        self.step += 1
        return float(loss.detach())

    @torch.no_grad()
    def validate(self) -> None:
        """Hold-out loss of the averaged weights on the same batches every time."""
        size = self.setting.config.training.batch_size
        slots = self.process.slots(size)
        batches = (
            self.validation.batch(VALIDATE, index, slots, size)
            for index in range(NUM_VALIDATION_BATCHES)
        )
        losses = [self.loss(self.averaged, batch) for batch in batches]
        self.validation_loss = self.process.mean(torch.stack(losses).mean())
        if self.setting.config.training.learning_rate_schedule == "plateau":
            self.plateau.step(self.validation_loss)

    def state(self) -> dict:
        return {
            "step": self.step,
            "validation_loss": self.validation_loss,
            "network": self.network.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "plateau": self.plateau.state_dict(),
        }

    def restore(self, state: dict) -> None:
        self.step, self.validation_loss = state["step"], state["validation_loss"]
        self.network.load_state_dict(state["network"])
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.plateau.load_state_dict(state["plateau"])


def cosine_rate(
    step: int, num_steps: int, highest: float, lowest: float, num_warmup: int = 50
) -> float:
    """Learning rate: linear warm-up, then half a cosine down to the lowest."""
    warm = min(1.0, (step + 1) / num_warmup)
    return float(
        warm * (lowest + 0.5 * (highest - lowest) * (1 + np.cos(np.pi * step / num_steps)))
    )


def train(
    run_dir: Path,
    version: int,
    process: Process,
    pause: Pause | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> None:
    """Train model ``version`` on its training set; the second and later versions start from the
    model in use before.

    Args:
        on_step: called with the number of steps done and their total after each of them.

    Raises:
        Paused: if it was asked to stop; the same call goes on from there.
    """
    setting = load_boundary_system(str(run_dir))
    training = setting.config.training
    structures = read_part(RunDirectory(run_dir).training_set(version))
    grid = grid_of(setting.frame, setting.config.voxels.shape)
    held, learned = hold_out(structures, training.validation_share)
    scale = (
        voxel_scale(structures, grid)
        if setting.config.voxels.scale == "auto"
        else setting.config.voxels.scale
    )
    energies = ConditionScale.fit([structure.gb_energy_j_m2 for structure in structures])
    num_steps = training.num_steps if version == 1 else training.retrain_steps
    metadata = {
        "version": version,
        "scale": scale,
        "condition_scale": asdict(energies),
        "lowest_energies": lowest_energies(structures),
    }

    if version > 1:
        earlier = RunDirectory(run_dir).model_file(RunDirectory(run_dir).model_in_use(version - 1))
        weights, before = load(earlier)
        metadata |= {"scale": before["scale"], "condition_scale": before["condition_scale"]}
        scale, energies = before["scale"], ConditionScale(**before["condition_scale"])
    fitting = Sampler(setting, grid, learned or held, scale, energies, version)
    state = Training(
        setting, fitting, replace(fitting, structures=held or learned), process, num_steps
    )
    if version > 1:
        state.start_from(weights, earlier)
    resume(state, RunDirectory(run_dir).training_state(version))
    if process.rank == 0:
        prepare_decoder(run_dir, setting, structures)
    run(
        state,
        RunDirectory(run_dir),
        version,
        pause or Pause(RunDirectory(run_dir).pause),
        on_step,
    )
    if process.rank == 0:
        metadata |= {
            "validation_loss": state.validation_loss,
            "network": setting.config.network.model_dump(),
        }
        save(RunDirectory(run_dir).model_file(version), state.ema.weights, metadata)
        (RunDirectory(run_dir).training_state(version)).unlink(missing_ok=True)
    process.wait_for_all()


def resume(state: Training, checkpoint: Path) -> None:
    """Go on from a checkpoint if there is one.

    A damaged one is only lost work: training begins again.
    """
    saved = None
    # Only the first process reads: on a network file system the others might see an older file, and
    # be at another step.
    if state.process.rank == 0 and checkpoint.exists():
        try:
            saved = load_state(checkpoint)
            print(f"resumed at step {saved['step']} of {state.num_steps}", flush=True)
        except CheckpointError as error:
            print(f"{error}; training begins again at step 0", flush=True)
    saved = state.process.shared(saved)
    if saved is not None:
        state.restore(saved)


def run(
    state: Training,
    run_dir: RunDirectory,
    version: int,
    pause: Pause,
    on_step: Callable[[int, int], None] | None = None,
) -> None:
    """Steps, progress and checkpoints until the last step.

    Raises:
        Paused: with a checkpoint, as soon as any process wants to.
    """
    started, reported, first = time.perf_counter(), 0.0, state.process.rank == 0
    recent: list[float] = []
    while state.step < state.num_steps:
        loss, is_paused = state.process.agree(state.advance(), pause.wanted(state.process))
        recent, is_last = [*recent[-99:], loss], state.step == state.num_steps
        if on_step is not None:
            on_step(state.step, state.num_steps)
        is_checkpoint = is_last or state.step % state.setting.config.training.checkpoint_every == 0
        if is_checkpoint:
            state.validate()
        if first and (is_checkpoint or is_paused):
            save_state(run_dir.training_state(version), state.state())
        if first and (is_last or is_paused or time.perf_counter() - reported > 1.0):
            reported = time.perf_counter()
            progress = {
                "step": state.step,
                "num_steps": state.num_steps,
                "loss": float(np.mean(recent)),
            }
            progress |= {"validation_loss": state.validation_loss, "seconds": reported - started}
            with replacing(run_dir.training_progress(version)) as temporary:
                temporary.write_text(json.dumps(progress))
        if is_paused and not is_last:
            if first:
                print(f"paused at step {state.step} of {state.num_steps}", flush=True)
            state.process.wait_for_all()
            raise Paused


def lowest_energies(structures: list) -> dict[str, float]:
    """Lowest boundary energy of each [n] in a training set, J/m^2."""
    lowest: dict[str, float] = {}
    for structure in structures:
        key = f"{structure.n_fraction:.6f}"
        lowest[key] = min(lowest.get(key, np.inf), structure.gb_energy_j_m2)
    return lowest


def main(arguments: list[str]) -> int:
    run_dir, version = Path(arguments[0]), int(arguments[1])
    if RunDirectory(run_dir).model_file(version).exists():
        return 0
    pause = Pause(RunDirectory(run_dir).pause)
    pause.listen()
    try:
        train(run_dir, version, Process.join(), pause)
    except Paused:
        return PAUSED
    except GcdError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # Past Python's own clean-up: threads of gloo that still run then abort the process (seen once,
    # at the end of a training).
    os._exit(code)
