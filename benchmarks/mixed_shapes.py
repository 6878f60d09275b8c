"""Training on boundaries of several shapes against training on one shape at a time.

    OMP_NUM_THREADS=1 python -m benchmarks.mixed_shapes RUN RUN [RUN ...] [--num 20]

Each RUN is a finished run of one boundary; its training set is chosen as for its own campaign. One
model is trained on all of them, and one on each alone, each for ``--num`` steps a boundary, data
included. The numbers are processor time, medians over the steps of one shape; the first steps are
left out. The ratio is the time of one step of each shape alone, over that in mixed training: the
throughput a voxel of mixed training in units of that of single shapes.
"""

import argparse
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from gcd_hpc.config.loader import load_learning
from gcd_hpc.learning.batches import Batch, TrainingBatches
from gcd_hpc.learning.sources import TrainingSource
from gcd_hpc.learning.training import BoundaryTraining, Process, measured_units, training_batches
from gcd_hpc.stages.model_job import ModelJob, anchored, learning_system, runs_of
from gcd_hpc.stages.select import choose
from gcd_hpc.store.run_directory import RunDirectory

Shape = tuple[int, ...]
NUM_SKIPPED = 2
"""First steps of each shape, in which memory is laid out."""


@dataclass(frozen=True)
class Watched(TrainingBatches):
    """Batches that note the shape of the last one."""

    shapes: list[Shape]

    def batch(
        self, purpose: int, step: int, slots: range, batch_size: int, source: int | None = None
    ) -> Batch:
        made = super().batch(purpose, step, slots, batch_size, source)
        self.shapes.append(tuple(made.clean.shape[2:]))
        return made


def step_seconds(sources: list[TrainingSource], num: int) -> dict[Shape, float]:
    """Median processor time of a training step of each shape, s."""
    fit, held = training_batches(sources, measured_units(sources), 1)
    shapes: list[Shape] = []
    watched = Watched(fit.sources, fit.conditions, fit.scale, fit.version, shapes)
    state = BoundaryTraining(watched, held, Process(torch.device("cpu")), 100 * num)
    seconds: dict[Shape, list[float]] = defaultdict(list)
    wanted = {source.system.grid.shape for source in sources}
    while any(len(seconds[shape]) < num for shape in wanted):
        started = time.process_time()
        state.trainer.advance()
        seconds[shapes[-1]].append(time.process_time() - started)
    return {shape: float(np.median(times[NUM_SKIPPED:])) for shape, times in seconds.items()}


def sources_of(runs: list[Path]) -> list[TrainingSource]:
    """Training sets of runs on the grids that models of many boundaries have."""
    job = ModelJob(runs=runs_of(runs, []), learning=load_learning(None))
    sources = []
    for run in job.runs:
        system = learning_system(run, job)
        chosen = choose(system, RunDirectory(run.run).all_relaxed_parts())
        sources.append(TrainingSource(system, anchored(chosen, system.frame), run.name))
    return sources


def main() -> None:
    """Print a row for each shape, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--num", type=int, default=20)
    arguments = parser.parse_args()
    sources = sources_of(arguments.runs)
    mixed = step_seconds(sources, arguments.num)
    print("| boundary | voxels | alone, s | mixed, s | alone / mixed |")
    print("|---|---|--:|--:|--:|")
    total_alone = total_mixed = 0.0
    for source in sources:
        shape = source.system.grid.shape
        alone = step_seconds([replace(source)], arguments.num)[shape]
        total_alone, total_mixed = total_alone + alone, total_mixed + mixed[shape]
        voxels = " x ".join(map(str, shape))
        ratio = alone / mixed[shape]
        print(f"| {source.name} | {voxels} | {alone:.3f} | {mixed[shape]:.3f} | {ratio:.2f} |")
    print(f"| all | | {total_alone:.3f} | {total_mixed:.3f} | {total_alone / total_mixed:.2f} |")


if __name__ == "__main__":
    main()
