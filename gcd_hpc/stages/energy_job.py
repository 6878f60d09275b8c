"""Training of an energy model from finished runs."""

from collections.abc import Callable, Sequence
from pathlib import Path

from gcd_hpc.config.learning import EnergyModelConfig
from gcd_hpc.learning.boundary import load_boundary_system
from gcd_hpc.learning.energy_network import EnergyModel
from gcd_hpc.learning.energy_training import train_energy_model, usable
from gcd_hpc.learning.sources import TrainingSource
from gcd_hpc.stages.model_job import runs_of
from gcd_hpc.stages.record import begin
from gcd_hpc.stages.result import StageResult
from gcd_hpc.stages.table import Task
from gcd_hpc.store.parts import each_of_part
from gcd_hpc.store.run_directory import RunDirectory


def train_from_runs(
    runs: Sequence[Path],
    out: Path,
    num_steps: int | None = None,
    width: int | None = None,
    seed: int = 0,
    report: Callable[[int, int], None] = lambda step, num_steps: None,
) -> EnergyModel:
    """Train an energy model on all relaxed rows of finished runs, and write its file.

    Args:
        runs: run directories of campaigns or of sets.
        num_steps: of both networks, instead of their defaults.
        width: of both networks, instead of their defaults.
        report: called with the number of steps done and their total.

    Raises:
        GcdError: if a folder is no run or holds no rows, if the runs are of several potentials, or
            if the file cannot be written.
    """
    begun, config = begin(Task("train", 1)), EnergyModelConfig()
    if num_steps is not None:
        atoms = config.atoms.model_copy(update={"num_steps": num_steps})
        config = config.model_copy(update={"num_steps": num_steps, "atoms": atoms})
    if width is not None:
        network = config.network.model_copy(update={"width": width})
        atoms = config.atoms.model_copy(update={"width": width})
        config = config.model_copy(update={"network": network, "atoms": atoms})
    sources = [rows_of(Path(run.run), run.name) for run in runs_of(runs, [])]
    model = train_energy_model(sources, config, seed, report)
    result = StageResult(
        num=2 * (config.num_steps + config.atoms.num_steps), seconds=begun.seconds()
    )
    model.save(out, begun.attribute(result))
    return model


def rows_of(run_dir: Path, name: str) -> TrainingSource:
    """All relaxed rows of a run that fit into its voxels."""
    system = load_boundary_system(str(run_dir))
    parts = RunDirectory(run_dir).all_relaxed_parts()
    rows = usable((row for part in parts for row in each_of_part(part)), system)
    return TrainingSource(system, rows, name)
