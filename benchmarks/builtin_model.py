"""Train the model that comes with the package, from the runs of campaigns/builtin.

    for metal in w fe ta cu al ni; do gcd-hpc campaign campaigns/builtin/$metal.yaml; done
    python -m benchmarks.builtin_model runs/builtin_* --out gcd_hpc/models/builtin.safetensors

Takes sets of boundaries and single runs. Each selects its structures by its own campaign; network
and training are those of the first one. The same command resumes from the checkpoint beside the
model. Weights are rounded to bfloat16, in which the network computes anyway.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from gcd_hpc.learning.boundary import load_boundary_system
from gcd_hpc.learning.model_file import ModelCard, save_model
from gcd_hpc.learning.sources import TrainingSource
from gcd_hpc.learning.training import (
    BoundaryTraining,
    Process,
    measured_units,
    model_card,
    training_batches,
)
from gcd_hpc.networks.checkpoint import load_state, save_state
from gcd_hpc.processor import processor_s
from gcd_hpc.stages.select import choose
from gcd_hpc.store.run_directory import RunDirectory

VERSION = 1
"""Version in the card, and a key of the random streams."""


def run_directories(paths: list[Path]) -> Iterator[Path]:
    """Run directories of single campaigns, and of all members of sets, in their order."""
    for path in paths:
        members = sorted(RunDirectory(path).boundaries.glob("*"))
        yield from members if members else [path]


def source_of(run_dir: Path) -> TrainingSource:
    """Structures that a run offers to a model."""
    system = load_boundary_system(str(run_dir))
    chosen = choose(system, RunDirectory(run_dir).known_parts(VERSION))
    return TrainingSource(system, chosen, f"{system.bicrystal.elements[0]}_{run_dir.name}")


def train(sources: list[TrainingSource], out: Path, until: float) -> ModelCard | None:
    """Train to the last step; None if the time ends before, which the same call continues from.

    Args:
        until: time of the monotonic clock at which to stop.
    """
    units = measured_units(sources)
    fit, validation = training_batches(sources, units, VERSION)
    num_steps = fit.config.training.num_steps
    state = BoundaryTraining(fit, validation, Process(torch.device("cpu")), num_steps)
    checkpoint, earlier_s = out.with_suffix(".checkpoint"), 0.0
    if checkpoint.exists():
        saved = load_state(checkpoint)
        earlier_s = float(saved["cpu_s"])
        state.restore(saved)
    began, losses = processor_s(), []
    for loss in state.trainer.steps(num_steps):
        losses.append(loss)
        is_due = state.trainer.step % state.checkpoint_every == 0
        is_late = time.monotonic() > until
        if is_due or is_late:
            spent = earlier_s + processor_s() - began
            save_state(checkpoint, state.state() | {"cpu_s": spent})
            mean = sum(losses) / len(losses)
            print(f"step {state.trainer.step}: loss {mean:.4f}, {spent:.0f} core-s", flush=True)
            losses = []
        if is_late and state.trainer.step < num_steps:
            return None
    card = model_card(state, sources, units, VERSION)
    weights = {
        name: one.to(torch.bfloat16) if one.is_floating_point() else one
        for name, one in state.trainer.average.weights.items()
    }
    save_model(out, weights, card, {"cpu_s": f"{earlier_s + processor_s() - began:.0f}"})
    return card


def main() -> None:
    line = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    line.add_argument("runs", type=Path, nargs="+", help="run directories or sets of them")
    line.add_argument("--out", type=Path, required=True, help="file of the model")
    line.add_argument("--wall", type=float, default=1e9, help="stop after so many seconds")
    arguments = line.parse_args()
    torch.set_num_threads(1)
    until = time.monotonic() + arguments.wall
    sources = [source_of(one) for one in run_directories(arguments.runs)]
    num = sum(len(source.structures) for source in sources)
    print(f"{len(sources)} boundaries, {num} structures", flush=True)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    card = train(sources, arguments.out, until)
    if card is not None:
        for name, loss in card.hold_out.items():
            print(f"{name}: hold-out loss {loss:.3f}")


if __name__ == "__main__":
    main()
