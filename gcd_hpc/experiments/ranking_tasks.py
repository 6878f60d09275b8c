"""Tasks of the ranking experiment: training of energy models, and what they and simple quantities
say of structures before relaxation.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import nan
from pathlib import Path

import numpy as np

from gcd_hpc.config.learning import EnergyModelConfig
from gcd_hpc.engines.child import Child
from gcd_hpc.engines.relaxation import SCREEN, Slab
from gcd_hpc.errors import SimulationError
from gcd_hpc.experiments.work import Arrays, Report
from gcd_hpc.learning.boundary import BoundarySystem, load_boundary_system
from gcd_hpc.learning.candidates import unrelaxed_atoms
from gcd_hpc.learning.energy_network import EnergyModel
from gcd_hpc.learning.energy_training import (
    energy_rows,
    fitted_model,
    without_some_n,
)
from gcd_hpc.learning.sources import TrainingSource
from gcd_hpc.processor import processor_s
from gcd_hpc.seeds import REPRODUCE, generator
from gcd_hpc.stages.energy_job import rows_of
from gcd_hpc.stages.relaxing import worker_child
from gcd_hpc.store.schema import Candidate
from gcd_hpc.structures.energetics import excess_volume

EVALUATIONS = (1, 20)
"""Force evaluations of the minimisations that a model is compared with."""
ROWS = 5
"""Key of the random stream that chooses rows."""


def train_on(
    run_dirs: Sequence[Path],
    path: Path,
    config: EnergyModelConfig,
    holds_out_n: bool,
    seed: int,
    report: Report,
) -> Arrays:
    """Train an energy model on runs, without a measure of its spread, and write its file.

    Args:
        holds_out_n: learn without every fourth [n]; else from all rows.
    """
    learned = [rows_of(run_dir, run_dir.name) for run_dir in run_dirs]
    if holds_out_n:
        learned, _ = without_some_n(learned)
    rows = energy_rows(learned, config)
    model = fitted_model(rows, seed, lambda step, num: report(step / num))
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save(path)
    return {"num_rows": np.array(model.card.num_rows)}


def measured_rows(
    run_dir: Path, model: Path, only_held_n: bool, num: int, seed: int, report: Report
) -> Arrays:
    """What an energy model and simple quantities say of rows of a run, and what is true.

    Args:
        only_held_n: take rows of the [n] that the model has not learned.
        num: most rows.

    Returns:
        (M,) each: id, kind (of the move, or search), n_index, energy and its estimates in J/m^2
        or Å by name, relax_s, and the seconds of each estimate.
    """
    system, child = load_boundary_system(str(run_dir)), worker_child(str(run_dir))
    found = EnergyModel.load(model)
    source = rows_of(run_dir, "rows")
    rows = chosen(source, only_held_n, num, generator(seed, REPRODUCE, ROWS))
    table: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        table.setdefault(name, []).append(value)

    for done, row in enumerate(rows, start=1):
        before = processor_s()
        estimate = found.estimate(system, row)
        note("network_s", processor_s() - before)
        note("network", estimate)
        for evaluations in EVALUATIONS:
            before = processor_s()
            note(f"cg{evaluations}", minimised(system, child, row, evaluations))
            note(f"cg{evaluations}_s", processor_s() - before)
        note("closest_pair", -row.closest_pair_a)
        note("excess_volume", excess_volume(row.unrelaxed_positions, system.bicrystal))
        note("energy", row.gb_energy_j_m2)
        note("relax_s", row.cpu_s)
        note("made_s", row.sample_s)
        report(done / len(rows))
    return {
        "id": np.array([row.id for row in rows]),
        "kind": np.array([row.move or row.source for row in rows]),
        "n_index": np.array([row.n_index for row in rows]),
        **{name: np.array(values) for name, values in table.items()},
    }


def chosen(
    source: TrainingSource, only_held_n: bool, num: int, rng: np.random.Generator
) -> Sequence[Candidate]:
    """At most ``num`` rows: all tries of the search first, then moves at random."""
    rows = source.structures
    if only_held_n:
        _, (held,) = without_some_n([source])
        rows = held.structures
    order = rng.permutation(len(rows))
    shuffled = sorted((rows[int(one)] for one in order), key=lambda row: row.source != "search")
    return shuffled[:num]


def minimised(system: BoundarySystem, child: Child, row: Candidate, evaluations: int) -> float:
    """Boundary energy after some force evaluations of a minimisation, J/m^2; NaN if it fails."""
    atoms = unrelaxed_atoms(system, row)
    slab = Slab.of(atoms, system.bicrystal, system.bulk, system.config.relaxation)
    job = slab.job(replace(SCREEN, max_evaluations=evaluations), slab.positions, None)
    try:
        return slab.energy(child.relax(job))
    except SimulationError:
        return nan
