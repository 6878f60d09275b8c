"""Training of the two networks of a material's round, by one process or two.

``python -m gcd_hpc.workers.ranks NUM gcd_hpc.stages.material_fit RUN ROUND`` starts it on one
machine, ``torchrun -m gcd_hpc.stages.material_fit RUN ROUND`` elsewhere. The first process trains
the particle model, the last one the property network. The same command resumes: a network that is
finished is kept, and one that was under way begins again.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from math import nan
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from gcd_hpc.config.material import MaterialConfig
from gcd_hpc.errors import TrainingError
from gcd_hpc.files import replacing
from gcd_hpc.learning.calibrated_property import Recipe, train_cross_validated
from gcd_hpc.learning.material import MaterialSystem, load_material_system
from gcd_hpc.learning.material_labels import labelled_structures
from gcd_hpc.learning.particles import Cell, ParticleConfig, load_particles, train_particles
from gcd_hpc.learning.property_network import PropertyConfig, load_property, save_property
from gcd_hpc.learning.property_training import PropertyTraining
from gcd_hpc.learning.training import Process
from gcd_hpc.spectra.table_file import read_labelled
from gcd_hpc.stages.course import Course
from gcd_hpc.stages.process_group import exit_at_once, run_training
from gcd_hpc.stages.record import Begun, begin
from gcd_hpc.stages.result import StageResult
from gcd_hpc.stages.table import Task
from gcd_hpc.stages.training_loop import Pause, Paused, is_trained
from gcd_hpc.store.parts import read_part
from gcd_hpc.store.run_directory import RunDirectory

PROPERTY_STREAMS = 100
"""Indices of random streams of a round's property networks: more than the largest num_folds."""


@dataclass
class Progress:
    """Steps done by this process and the losses, written for the driver at most once a second."""

    path: Path | None
    """File; None for a process that writes none."""
    num_steps: int
    prior_steps: int
    """Steps of the particle model, whose losses are written."""
    pause: Callable[[], bool]
    started: float = field(default_factory=time.monotonic)
    written: float = -1.0
    course: Course = field(default_factory=lambda: Course(0))
    recent: list[float] = field(default_factory=list)
    """Losses of the last hundred steps of the particle model."""

    def __call__(self, step: float) -> None:
        """Write how far the training is.

        Raises:
            Paused: after a request to pause.
        """
        if self.pause():
            raise Paused
        if time.monotonic() - self.written >= 1.0:
            self.write(step)

    def add(self, step: int, loss: float) -> None:
        """Note the loss of a step of the particle model, for a curve of a hundred points."""
        self.recent = [*self.recent[-99:], loss]
        if step % max(1, self.prior_steps // 100) == 0 or step == self.prior_steps:
            self.course.add(step, float(np.mean(self.recent)), nan)

    def write(self, step: float) -> None:
        """Write the file."""
        if self.path is None:
            return
        self.written = time.monotonic()
        rows = self.course.rows
        content: dict[str, object] = {
            "step": int(step),
            "saved_step": 0,
            "first_step": 0,
            "num_steps": self.num_steps,
            "loss": rows[-1][1] if rows else None,
            "validation_loss": None,
            "seconds": self.written - self.started,
            "history": rows,
            "history_steps": self.prior_steps,
        }
        with replacing(self.path) as temporary:
            temporary.write_text(json.dumps(content))


def fit(run_dir: Path, round: int, process: Process, pause: Pause | None = None) -> None:
    """Train the networks of a round, and write their files; that of the particle model is last.

    Results do not depend on the number of processes: each network is trained by one of them in one
    thread.

    Raises:
        Paused: after a request to pause.
        TrainingError: if a loss is no longer finite, or there are no labels to learn from.
    """
    begun = begin(Task("fit", round), process.world)
    torch.set_num_threads(1)
    system, run = load_material_system(str(run_dir)), RunDirectory(run_dir)
    config = system.config
    wanted = pause or Pause(run.pause)
    network_steps = (config.property_network.num_folds + 1) * config.property_network.num_steps
    num_steps = config.prior.num_steps + (network_steps if process.world == 1 else 0)
    path = run.training_progress(round) if process.rank == 0 else None
    # The processes do not meet while they train, so that each looks for a request to pause.
    alone = Process(process.device)
    progress = Progress(path, num_steps, config.prior.num_steps, lambda: wanted.wanted(alone))
    if process.rank == process.world - 1:
        _fit_property(system, run, round, lambda share: progress(share * network_steps))
    done = network_steps if process.world == 1 else 0
    if process.rank == 0:
        _fit_prior(
            system,
            run,
            round,
            lambda share: progress(done + share * config.prior.num_steps),
            progress.add,
            partial(_record, begun, process, num_steps),
        )
        progress.write(num_steps)
    else:
        _record(begun, process, num_steps)


def _record(begun: Begun, process: Process, num_steps: int) -> dict[str, str]:
    """Record of the task when all its processes have trained."""
    cpu_s = process.world * process.agree(begun.cpu_s())[0]
    process.wait_for_all()
    result = StageResult(num=num_steps, seconds=begun.seconds())
    return begun.attribute(result, cpu_s)


def _fit_property(
    system: MaterialSystem, run: RunDirectory, round: int, report: Callable[[float], None]
) -> None:
    """Train the property network on all spectra so far, unless its file exists."""
    path, labelling = run.property_model(round), system.config.labelling
    if is_trained(path, load_property):
        return
    num_chunks = system.config.num_quench_chunks
    files = [run.labelled_part(chunk) for chunk in range(num_chunks)]
    files += [
        run.verified_spectra(earlier, chunk)
        for earlier in range(1, round)
        for chunk in range(system.config.num_sample_chunks)
    ]
    # Tasks that were set aside have left no file.
    tables = [read_labelled(file) for file in files if file.is_file()]
    labelled = [one for one in labelled_structures(system, tables) if one.known.any()]
    if not labelled:
        reasons = [reason for one in tables for reason in one.table.reason]
        raise TrainingError(
            f"{run.path}: the property network of round {round} has nothing to learn from, because"
            f" no atom has a spectrum ({reasons[0] if reasons else 'none was computed'}); mend the"
            " engine and choose another --run-dir"
        )
    try:
        measured = train_cross_validated(
            labelled,
            property_recipe(system.config),
            system.config.seed,
            PROPERTY_STREAMS * round,
            f"{system.config.material.element} {labelling.edge}-edge spectrum",
            labelling.edge,
            system.config.property_network.num_folds,
            report,
        )
    except TrainingError as error:
        raise TrainingError(f"{run.path}: property network of round {round}: {error}") from error
    _write_losses(run.property_losses(round), measured.loss)
    model = measured.model
    save_property(path, model.network, model.card, model.calibration)


def _write_losses(path: Path, losses: NDArray[np.float64]) -> None:
    """Write means of the losses of all steps over a hundredth of the training each."""
    chunks = np.array_split(np.arange(len(losses)), min(100, len(losses)))
    rows = [[int(chunk[-1]) + 1, float(losses[chunk].mean())] for chunk in chunks]
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps({"history": rows}))


def _fit_prior(
    system: MaterialSystem,
    run: RunDirectory,
    round: int,
    report: Callable[[float], None],
    on_step: Callable[[int, float], None],
    entries: Callable[[], dict[str, str]],
) -> None:
    """Train the particle model on the training set of the round."""
    rows = read_part(run.training_set(round))
    cells = [Cell(row.positions, tuple(map(float, row.cell))) for row in rows]  # type: ignore[arg-type]
    train_particles(
        cells,
        prior_config(system.config),
        system.config.seed,
        round,
        run.model_file(round),
        report,
        entries=entries,
        on_step=on_step,
    )


def prior_config(config: MaterialConfig) -> ParticleConfig:
    """Network, noise and training of the particle model."""
    prior = config.prior
    return ParticleConfig(
        cutoff=prior.cutoff_a,
        max_sigma=prior.max_sigma_a,
        width=prior.width,
        num_layers=prior.num_layers,
        num_steps=prior.num_steps,
        batch_size=prior.batch_size,
        learning_rate=prior.learning_rate,
        network="equivariant",
        t_min=prior.min_sigma_a / prior.max_sigma_a,
        times="focused",
    )


def property_recipe(config: MaterialConfig) -> Recipe:
    """Network and training of the property network, for the noise of the particle model."""
    section, prior = config.property_network, config.prior
    shape = PropertyConfig(
        "equivariant",
        section.cutoff_a,
        section.width,
        section.num_layers,
        prior.min_sigma_a,
        prior.max_sigma_a,
    )
    return Recipe(shape, PropertyTraining(section.num_steps, learning_rate=section.learning_rate))


def main(arguments: list[str]) -> int:
    run_dir, round = Path(arguments[0]), int(arguments[1])
    run = RunDirectory(run_dir)
    return run_training(
        run.model_file(round),
        run.pause,
        lambda process, pause: fit(run_dir, round, process, pause),
        partial(is_trained, read=load_particles),
    )


if __name__ == "__main__":
    exit_at_once(main(sys.argv[1:]))
