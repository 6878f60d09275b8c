"""Training of one model version, by any number of processes.

On one machine ``python -m gcd_hpc.workers.ranks NUM gcd_hpc.stages.train RUN VERSION`` starts it,
on several ``torchrun -m gcd_hpc.stages.train RUN VERSION``. The same command resumes from the last
checkpoint. The file RUN/pause, SIGTERM or SIGUSR1 end it with a checkpoint and exit code 75.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from gcd_hpc.errors import TrainingError
from gcd_hpc.learning.boundary import load_boundary_system
from gcd_hpc.learning.decoding import prepare_decoder
from gcd_hpc.learning.model_file import ModelCard, check_elements, load_model
from gcd_hpc.learning.sources import TrainingSource
from gcd_hpc.learning.training import Process
from gcd_hpc.stages.process_group import exit_at_once, run_training
from gcd_hpc.stages.record import begin
from gcd_hpc.stages.shared import learned_runs
from gcd_hpc.stages.table import Task
from gcd_hpc.stages.training_loop import Pause, TrainingFiles, TrainingJob, carry_out
from gcd_hpc.store.model_in_use import model_in_use
from gcd_hpc.store.parts import read_part
from gcd_hpc.store.run_directory import RunDirectory


def train(
    run_dir: Path,
    version: int,
    process: Process,
    pause: Pause | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> None:
    """Train model ``version``, starting from the model in use if there is one.

    The model of a set learns from all its boundaries that have a training set.

    Args:
        on_step: called with the number of steps done and their total after each of them.

    Raises:
        Paused: after a request to pause; the same call resumes.
        TrainingError: if the loss or weights become non-finite; no model file is written.
    """
    begun = begin(Task("train", version), process.world)
    files = RunDirectory(run_dir)
    runs = learned_runs(files, version)
    sources = [source_of(run, version) for run in runs]
    training = sources[0].system.config.training
    weights, before = starting_model(files, sources, version)
    job = TrainingJob(
        sources,
        version,
        training.num_steps if before is None else training.retrain_steps,
        files_of(files, version),
        weights,
        before,
    )

    def decoder() -> None:
        """Train the learned decoder of each boundary, if the campaign has one."""
        for run, one in zip(runs, sources, strict=True):
            prepare_decoder(run.path, one.system, one.structures, process.device)

    try:
        carry_out(job, begun, process, pause, on_step, decoder)
    except TrainingError as error:
        raise TrainingError(
            f"model {version}: {error} (training.learning_rate, training.precision) in a new run"
            " directory"
        ) from error


def files_of(files: RunDirectory, version: int) -> TrainingFiles:
    """Files of the training of one model version."""
    return TrainingFiles(
        files.model_file(version),
        files.training_state(version),
        files.training_progress(version),
        files.pause,
    )


def source_of(run: RunDirectory, version: int) -> TrainingSource:
    """The training set of a boundary for model ``version``."""
    system = load_boundary_system(str(run.path))
    return TrainingSource(system, read_part(run.training_set(version)), system.config.name)


def starting_model(
    files: RunDirectory, sources: Sequence[TrainingSource], version: int
) -> tuple[dict[str, torch.Tensor] | None, ModelCard | None]:
    """Weights and card of the model in use, from which a later version starts.

    Both are None for version 1 of a campaign that does not start from a model.

    Raises:
        CheckpointError: if the model is damaged or of other elements.
    """
    if version == files.first_model:
        return None, None
    earlier = files.model_file(model_in_use(files, version - 1))
    weights, card = load_model(earlier)
    for source in sources:
        check_elements(earlier, card, source.system.channels)
    return weights, card


def main(arguments: list[str]) -> int:
    run_dir, version = Path(arguments[0]), int(arguments[1])
    files = RunDirectory(run_dir)
    return run_training(
        files.model_file(version),
        files.pause,
        lambda process, pause: train(run_dir, version, process, pause),
    )


if __name__ == "__main__":
    exit_at_once(main(sys.argv[1:]))
