"""Training of a model of many boundaries, by any number of processes.

``gcd-hpc model train`` starts it on one machine. On several, ``torchrun -m
gcd_hpc.stages.train_model FILE.training`` goes on with a training that the command has begun.
The file FILE.training/pause, SIGTERM or SIGUSR1 end it with a checkpoint and exit code 75.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from gcd_hpc.errors import TrainingError
from gcd_hpc.learning.training import Process
from gcd_hpc.stages.model_job import read_job, sources_of
from gcd_hpc.stages.process_group import exit_at_once, run_training
from gcd_hpc.stages.record import begin
from gcd_hpc.stages.table import Task
from gcd_hpc.stages.training_loop import Pause, TrainingFiles, TrainingJob, carry_out
from gcd_hpc.store.training_folder import TrainingFolder

VERSION = 1
"""Version of a model of no campaign."""


def train_model(
    folder: TrainingFolder,
    process: Process,
    pause: Pause | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> None:
    """Train the model of a prepared job and write its file.

    Raises:
        Paused: after a request to pause; the same call resumes.
        TrainingError: if the loss or weights become non-finite; no model file is written.
    """
    begun = begin(Task("train", VERSION), process.world)
    job = read_job(folder)
    sources = sources_of(folder, job)
    is_held_out = {run.name: run.is_held_out for run in job.runs}
    training = TrainingJob(
        [one for one in sources if not is_held_out[one.name]],
        VERSION,
        job.learning.training.num_steps,
        TrainingFiles(folder.model, folder.state, folder.progress, folder.pause),
        held_out=[one for one in sources if is_held_out[one.name]],
        dtype=job.dtype,
    )
    try:
        carry_out(training, begun, process, pause, on_step)
    except TrainingError as error:
        raise TrainingError(
            f"{folder.model}: {error} (--set training.learning_rate, training.precision)"
        ) from error


def main(arguments: list[str]) -> int:
    folder = TrainingFolder.at(Path(arguments[0]))
    return run_training(
        folder.model, folder.pause, lambda process, pause: train_model(folder, process, pause)
    )


if __name__ == "__main__":
    exit_at_once(main(sys.argv[1:]))
