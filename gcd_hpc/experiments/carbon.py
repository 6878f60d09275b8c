"""Carbon (Fig. S.1): a particle model samples amorphous carbon and diamond from several starts."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gcd_hpc.diffusion.exploding import Anneal, Steps
from gcd_hpc.engines.bulk import measure_bulk
from gcd_hpc.engines.child import LammpsChild
from gcd_hpc.engines.potentials import find_potential
from gcd_hpc.engines.quench import MeltQuench, box_length, melt_quench, relax_periodic
from gcd_hpc.errors import SimulationError
from gcd_hpc.experiments.carbon_budget import (
    CARBON,
    CELLS,
    FULL,
    NUM_ATOMS,
    QUICK,
    CarbonBudget,
    Case,
    Form,
)
from gcd_hpc.experiments.carbon_figures import Curve, carbon_figure
from gcd_hpc.experiments.carbon_numbers import (
    case_numbers,
    glass_numbers,
    mean_rdf,
    samples,
    training_numbers,
)
from gcd_hpc.experiments.outcome import Outcome
from gcd_hpc.experiments.work import Arrays, Report, Task, Workshop, core_s
from gcd_hpc.learning.particles import (
    Cell,
    Lengths,
    ParticleConfig,
    load_particles,
    sample_particles,
    train_particles,
)
from gcd_hpc.seeds import CARBON as CARBON_STREAM
from gcd_hpc.seeds import generator
from gcd_hpc.structures.lattices import conventional_cell

Array = NDArray[np.float64]
TIMEOUT_S = 120.0
INDEX: dict[Form, int] = {"amorphous": 10, "diamond": 11}
"""Index of the models' random streams; those of the cases start at 20."""
FIRST_CASE = 20
_QUENCH, _START = range(2)


def figS1(workshop: Workshop) -> Outcome:
    """Particle models of amorphous carbon and diamond, from random and perturbed starts."""
    return study_carbon(workshop, {"quick": QUICK, "full": FULL}[workshop.budget])


def study_carbon(workshop: Workshop, budget: CarbonBudget) -> Outcome:
    """Run the experiment with any budget."""
    quenches = _quench_tasks(workshop, budget)
    *quenched, bulk = workshop.run([*quenches, Task("carbon-bulk", diamond, ())])
    glass = np.concatenate([block["positions"] for block in quenched])
    energies = np.concatenate([block["energies"] for block in quenched])
    a0, cohesive = float(bulk["a0"]), float(bulk["cohesive_ev"])
    lengths: dict[Form, Lengths] = {
        "amorphous": (box_length("C", NUM_ATOMS, budget.programme.density_g_cm3),) * 3,
        "diamond": (CELLS * a0,) * 3,
    }
    sources = {"amorphous": tuple(map(workshop.path, quenches)), "diamond": ()}
    trainings, weights = _training_tasks(workshop, budget, lengths, sources)
    trained = workshop.run(trainings, on_device=True)
    samplings = _sampling_tasks(workshop, budget, lengths, weights)
    sampled = workshop.run(samplings, on_device=True)
    relaxations = [
        Task(f"{task.name}-relax", relax_generated, (workshop.path(task), lengths[case.form]))
        for task, case in zip(samplings, budget.cases, strict=True)
    ]
    relaxed = workshop.run(relaxations)
    held_out = glass[budget.num_training :]
    reference = mean_rdf(held_out, lengths["amorphous"])
    cases = zip(budget.cases, sampled, relaxed, strict=True)
    numbers: dict[str, Any] = {
        "potential": {"pair_style": CARBON.pair_style, "file": CARBON.file}
        | {"a0": a0, "cohesive_ev": cohesive},
        "melt_quench": glass_numbers(glass, energies, budget, lengths["amorphous"], cohesive),
        "training": {
            form: training_numbers(budget.models[form], result)
            for form, result in zip(budget.models, trained, strict=True)
        },
        "sampling": {form: repr(sampler) for form, sampler in budget.samplers.items()},
        "cases": {
            case.name: case_numbers(
                case, result["positions"], after, lengths[case.form], a0, cohesive, reference
            )
            for case, result, after in cases
        },
    }
    costs = {
        "melt_quench": core_s([*quenched, bulk]),
        "training": core_s(trained),
        "sampling": core_s(sampled),
        "relaxation": core_s(relaxed),
    }
    shown = samples(budget, held_out, lengths, [result["positions"] for result in sampled])
    losses = [
        Curve(form, result["steps"], result["loss"])
        for form, result in zip(budget.models, trained, strict=True)
    ]
    return Outcome(numbers, costs, carbon_figure(shown, losses, numbers["cases"]))


# Tasks


def quench_block(programme: MeltQuench, seed: int, first: int, num: int, report: Report) -> Arrays:
    """Quench amorphous structures ``first`` to ``first + num - 1``.

    Returns positions (num, 216, 3) Å, energies (num,) eV an atom and temperatures (num, 3) K.
    """
    results = []
    with LammpsChild(find_potential(CARBON, "C", Path()), TIMEOUT_S) as child:
        for index in range(first, first + num):
            results.append(
                melt_quench(
                    child, NUM_ATOMS, programme, generator(seed, CARBON_STREAM, _QUENCH, index)
                )
            )
            report(len(results) / num)
    return {
        "positions": np.array([result.positions for result in results]),
        "energies": np.array([result.energies.mean() for result in results]),
        "temperatures_k": np.array([result.temperatures_k for result in results]),
    }


def diamond(report: Report) -> Arrays:
    """Lattice constant (Å) and energy (eV an atom) of diamond under the potential of the quench."""
    bulk = measure_bulk(find_potential(CARBON, "C", Path()), "C", "diamond")
    return {"a0": np.array(bulk.a0), "cohesive_ev": np.array(bulk.cohesive_ev)}


def train_carbon(
    sources: tuple[Path, ...],
    num_training: int,
    lengths: Lengths,
    config: ParticleConfig,
    seed: int,
    index: int,
    device: str,
    weights: Path,
    report: Report,
) -> Arrays:
    """Train a model on melt-quench files, or on diamond without files."""
    held_out: list[Cell] = []
    if sources:
        glass = np.concatenate([np.load(source)["positions"] for source in sources])
        cells = [Cell(positions, lengths) for positions in glass]
        cells, held_out = cells[:num_training], cells[num_training:]
    else:
        cells = [Cell(perfect_diamond(lengths), lengths)]
    return train_particles(cells, config, seed, index, weights, report, device, held_out)


def sample_case(
    weights: Path,
    case: Case,
    number: int,
    lengths: Lengths,
    config: ParticleConfig,
    sampler: Steps | Anneal,
    num: int,
    seed: int,
    device: str,
    report: Report,
) -> Arrays:
    """Structures (num, 216, 3) that a model samples from the starts of the case."""
    index = FIRST_CASE + number
    streams = [generator(seed, CARBON_STREAM, _START, number, item) for item in range(num)]
    if case.sigma is None:
        starts = np.stack([stream.uniform(0.0, lengths, (NUM_ATOMS, 3)) for stream in streams])
        t_start = 1.0
    else:
        noise = np.stack([stream.standard_normal((NUM_ATOMS, 3)) for stream in streams])
        starts = perfect_diamond(lengths) + case.sigma * noise
        t_start = config.process.time_of(case.sigma)
    model = load_particles(weights, device, config)
    return {
        "positions": sample_particles(model, starts, lengths, sampler, seed, index, t_start, report)
    }


def relax_generated(source: Path, lengths: Lengths, report: Report) -> Arrays:
    """Energies (M,) in eV an atom before and after relaxation; NaN where LAMMPS refuses one."""
    structures = np.load(source)["positions"]
    raw = np.full(len(structures), np.nan)
    relaxed = np.full(len(structures), np.nan)
    positions = structures.copy()
    with LammpsChild(find_potential(CARBON, "C", Path()), TIMEOUT_S) as child:
        for number, structure in enumerate(structures):
            try:
                raw[number] = child.evaluate(
                    structure, np.array([np.zeros(3), lengths]), periodic_z=True
                ).energies.mean()
                result = relax_periodic(child, structure, np.array(lengths))
                relaxed[number], positions[number] = result.energies.mean(), result.positions
            except SimulationError:
                continue
            report((number + 1) / len(structures))
    return {"raw_ev": raw, "relaxed_ev": relaxed, "positions": positions}


def perfect_diamond(lengths: Lengths) -> Array:
    """Positions (216, 3) of diamond that fills the box."""
    return np.asarray(conventional_cell("diamond", "C", lengths[0] / CELLS).repeat(CELLS).positions)


def _quench_tasks(workshop: Workshop, budget: CarbonBudget) -> list[Task]:
    blocks = np.array_split(np.arange(budget.num_training + budget.num_held_out), budget.num_blocks)
    return [
        Task(
            f"carbon-quench-{number}",
            quench_block,
            (budget.programme, workshop.seed, int(block[0]), len(block)),
        )
        for number, block in enumerate(blocks)
    ]


def _training_tasks(
    workshop: Workshop,
    budget: CarbonBudget,
    lengths: dict[Form, Lengths],
    sources: dict[str, tuple[Path, ...]],
) -> tuple[list[Task], dict[Form, Path]]:
    tasks, weights = [], {}
    for form, config in budget.models.items():
        what = (
            sources[form],
            budget.num_training,
            lengths[form],
            config,
            workshop.seed,
            INDEX[form],
            workshop.device,
        )
        task = Task(f"carbon-{form}", train_carbon, what)
        weights[form] = workshop.path(task).with_suffix(".pt")  # of other settings, another file
        tasks.append(replace(task, arguments=(*what, weights[form])))
    return tasks, weights


def _sampling_tasks(
    workshop: Workshop,
    budget: CarbonBudget,
    lengths: dict[Form, Lengths],
    weights: dict[Form, Path],
) -> list[Task]:
    how = (budget.num_generated, workshop.seed, workshop.device)
    tasks = []
    for number, case in enumerate(budget.cases):
        form = case.form
        what = (weights[form], case, number, lengths[form], budget.models[form])
        arguments = (*what, budget.samplers[form], *how)
        tasks.append(Task(f"carbon-{case.name}", sample_case, arguments))
    return tasks
