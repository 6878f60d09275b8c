"""Carbon (C6, Fig.

S.1): the particle model makes amorphous carbon out of nothing, and diamond only out of diamond.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gcd_hpc.diffusion.exploding import Exploding, SamplerKind
from gcd_hpc.engines.bulk import measure_bulk
from gcd_hpc.engines.child import LammpsChild
from gcd_hpc.engines.potentials import find_potential
from gcd_hpc.errors import SimulationError
from gcd_hpc.experiments.carbon_bonds import (
    bond_angles,
    coordination_shares,
    is_tetrahedral,
    on_diamond_sites,
)
from gcd_hpc.experiments.carbon_figures import Curve, Sample, carbon_figure
from gcd_hpc.experiments.outcome import Outcome
from gcd_hpc.experiments.particles import ParticleConfig, sample_particles, train_particles
from gcd_hpc.experiments.quench import CARBON, MeltQuench, box_length, melt_quench, relax_periodic
from gcd_hpc.experiments.work import Arrays, Report, Task, Workshop
from gcd_hpc.seeds import CARBON as CARBON_STREAM
from gcd_hpc.seeds import generator
from gcd_hpc.structures.analysis import rdf
from gcd_hpc.structures.lattices import conventional_cell

Array = NDArray[np.float64]
Lengths = tuple[float, float, float]
Form = Literal["amorphous", "diamond"]

CELLS = 3
"""Conventional cells of diamond along each edge: 216 atoms, as many as the amorphous structures
have.
"""
NUM_ATOMS = 8 * CELLS**3
RDF_START, RDF_BIN = 1.0, 0.05
TIMEOUT_S = 120.0
INDEX: dict[Form, int] = {"amorphous": 10, "diamond": 11}
"""Of the models' random streams; those of the cases follow from 20 on."""
FIRST_CASE = 20
_QUENCH, _START = range(2)


@dataclass(frozen=True)
class Case:
    """What a model starts from: a uniform random cell (sigma is None), or diamond with normal
    displacements of sigma in Å.
    """

    name: str
    form: Form
    sigma: float | None


@dataclass(frozen=True)
class CarbonBudget:
    """Structures, training and sampling."""

    num_training: int
    num_held_out: int
    num_blocks: int
    """Tasks that the melt-quenches are spread over."""
    programme: MeltQuench
    models: dict[Form, ParticleConfig]
    sampler: SamplerKind
    num_sampling_steps: int
    num_generated: int
    cases: tuple[Case, ...]


# k = 0.8 Å and a cutoff of 3.0 Å after Kwon et al. (arXiv 2312.05472).
_SMALL = ParticleConfig(
    cutoff=3.0,
    max_sigma=0.8,
    width=64,
    num_layers=4,
    num_steps=18_000,
    batch_size=1,
    learning_rate=3e-3,
)
_LARGE = replace(
    _SMALL, width=200, num_layers=5, num_steps=50_000, batch_size=16, learning_rate=5e-4
)
CASES = (
    Case("amorphous-random", "amorphous", None),
    *(Case(f"diamond-{sigma}", "diamond", sigma) for sigma in (0.1, 0.2, 0.3, 0.5, 0.8)),
    Case("diamond-random", "diamond", None),
)
QUICK = CarbonBudget(
    num_training=20,
    num_held_out=4,
    num_blocks=4,
    programme=MeltQuench(),
    models={
        "amorphous": _SMALL,
        "diamond": replace(_SMALL, num_steps=4500, batch_size=2, learning_rate=1e-3),
    },
    sampler="sde",
    num_sampling_steps=200,
    num_generated=10,
    cases=CASES,
)
FULL = CarbonBudget(
    num_training=120,
    num_held_out=20,
    num_blocks=20,
    programme=MeltQuench(quench_steps=50_000),
    models={"amorphous": _LARGE, "diamond": _LARGE},
    sampler="sde",
    num_sampling_steps=1_000,
    num_generated=10,
    cases=CASES,
)


def figS1(workshop: Workshop) -> Outcome:
    """Particle models of amorphous carbon and of diamond, from random starts and from perturbed
    crystals.
    """
    return study_carbon(workshop, {"quick": QUICK, "full": FULL}[workshop.budget])


def study_carbon(workshop: Workshop, budget: CarbonBudget) -> Outcome:
    """The experiment at any budget."""
    quenches = _quench_tasks(workshop, budget)
    *quenched, bulk = workshop.run([*quenches, Task("carbon-bulk", diamond, ())])
    glass, energies = (
        np.concatenate([block[name] for block in quenched]) for name in ("positions", "energies")
    )
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
    relaxed = workshop.run(
        [
            Task(f"{task.name}-relax", relax_generated, (workshop.path(task), lengths[case.form]))
            for task, case in zip(samplings, budget.cases, strict=True)
        ]
    )
    held_out = glass[budget.num_training :]
    reference = mean_rdf(held_out, lengths["amorphous"])
    numbers: dict[str, Any] = {
        "potential": {
            "pair_style": CARBON.pair_style,
            "file": CARBON.file,
            "a0": a0,
            "cohesive_ev": cohesive,
        },
        "melt_quench": _glass_numbers(glass, energies, budget, lengths["amorphous"], cohesive),
        "training": {
            form: _training_numbers(budget.models[form], result)
            for form, result in zip(budget.models, trained, strict=True)
        },
        "sampling": {"sampler": budget.sampler, "num_steps": budget.num_sampling_steps},
        "cases": {
            case.name: _case_numbers(
                case, result["positions"], after, lengths[case.form], a0, cohesive, reference
            )
            for case, result, after in zip(budget.cases, sampled, relaxed, strict=True)
        },
    }
    kinds = {
        "melt_quench": [*quenched, bulk],
        "training": trained,
        "sampling": sampled,
        "relaxation": relaxed,
    }
    costs = {
        kind: float(sum(result["core_s"] for result in results)) for kind, results in kinds.items()
    }
    samples = _samples(budget, held_out, lengths, [result["positions"] for result in sampled])
    losses = [
        Curve(form, result["steps"], result["loss"])
        for form, result in zip(budget.models, trained, strict=True)
    ]
    return Outcome(numbers, costs, carbon_figure(samples, losses, numbers["cases"]))


# Tasks


def quench_block(programme: MeltQuench, seed: int, first: int, num: int, report: Report) -> Arrays:
    """Amorphous structures ``first`` to ``first + num``: positions (num, 216, 3) Å, energies (num,)
    eV an atom, temperatures (num, 3) K.
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
    """Lattice constant (Å) and energy (eV an atom) of diamond under the potential of the
    melt-quench.
    """
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
    """A particle model of the first structures in the melt-quench files, in all orientations of the
    box; without files, of diamond.
    """
    if sources:
        glass = np.concatenate([np.load(source)["positions"] for source in sources])[:num_training]
        structures = [orientation for positions in glass for orientation in orientations(positions)]
    else:
        structures = [perfect_diamond(lengths)]
    return train_particles(structures, lengths, config, seed, index, weights, report, device)


def sample_case(
    weights: Path,
    case: Case,
    number: int,
    lengths: Lengths,
    config: ParticleConfig,
    sampler: SamplerKind,
    num_steps: int,
    num: int,
    seed: int,
    device: str,
    report: Report,
) -> Arrays:
    """Structures (num, 216, 3) that a model makes of the case's starts."""
    streams = [generator(seed, CARBON_STREAM, _START, number, item) for item in range(num)]
    if case.sigma is None:
        starts = np.stack([stream.uniform(0.0, lengths, (NUM_ATOMS, 3)) for stream in streams])
        t_start = 1.0
    else:
        starts = perfect_diamond(lengths) + case.sigma * np.stack(
            [stream.standard_normal((NUM_ATOMS, 3)) for stream in streams]
        )
        t_start = Exploding(config.max_sigma).time_of(case.sigma)
    return sample_particles(
        weights,
        starts,
        lengths,
        config,
        sampler,
        num_steps,
        seed,
        FIRST_CASE + number,
        t_start,
        report,
        device,
    )


def relax_generated(source: Path, lengths: Lengths, report: Report) -> Arrays:
    """Energies (M,) in eV an atom of the structures in a file as they are and after relaxation; NaN
    where LAMMPS refuses one.
    """
    structures = np.load(source)["positions"]
    raw, relaxed, positions = (
        np.full(len(structures), np.nan),
        np.full(len(structures), np.nan),
        structures.copy(),
    )
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


def orientations(positions: Array) -> list[Array]:
    """A structure (N, 3) in a periodic cube in its 48 orientations: which glass comes out of the
    melt does not depend on the axes.
    """
    permuted = [
        positions[:, list(order)]
        for order in ((0, 1, 2), (1, 2, 0), (2, 0, 1), (0, 2, 1), (2, 1, 0), (1, 0, 2))
    ]
    signs = [np.array([x, y, z]) for x in (1, -1) for y in (1, -1) for z in (1, -1)]
    return [sign * points for points in permuted for sign in signs]


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
    how = (
        budget.sampler,
        budget.num_sampling_steps,
        budget.num_generated,
        workshop.seed,
        workshop.device,
    )
    return [
        Task(
            f"carbon-{case.name}",
            sample_case,
            (weights[case.form], case, number, lengths[case.form], budget.models[case.form], *how),
        )
        for number, case in enumerate(budget.cases)
    ]


# What is measured


def mean_rdf(structures: Array, lengths: Lengths) -> tuple[Array, Array]:
    """Bin centres (Å) and mean g(r) of structures (M, N, 3), out to half the box."""
    r_max = RDF_BIN * int(min(lengths) / 2 / RDF_BIN)
    curves = [rdf(positions, lengths, r_max, round(r_max / RDF_BIN)) for positions in structures]
    return curves[0][0], np.mean([g for _, g in curves], axis=0)


def rdf_difference(one: tuple[Array, Array], other: tuple[Array, Array]) -> float:
    """Root mean square of the difference of two g(r) on the same bins, from 1 Å on."""
    beyond = one[0] > RDF_START
    return float(np.sqrt(np.square(one[1] - other[1])[beyond].mean()))


def _glass_numbers(
    glass: Array, energies: Array, budget: CarbonBudget, lengths: Lengths, cohesive: float
) -> dict[str, Any]:
    training, held_out = glass[: budget.num_training], glass[budget.num_training :]
    reference = mean_rdf(held_out, lengths)
    return {
        "num_atoms": NUM_ATOMS,
        "density_g_cm3": budget.programme.density_g_cm3,
        "num_training": len(training),
        "num_held_out": len(held_out),
        "energy_above_diamond_ev": _mean_and_spread(energies - cohesive),
        "training": _structure_numbers(training, lengths),
        "held_out": _structure_numbers(held_out, lengths),
        "first_peak": _first_peak(reference),
        "rdf_training_to_held_out": rdf_difference(mean_rdf(training, lengths), reference),
        "rdf_ideal_gas_to_held_out": rdf_difference(
            (reference[0], np.ones_like(reference[1])), reference
        ),
    }


def _training_numbers(config: ParticleConfig, result: Arrays) -> dict[str, Any]:
    return {
        **{
            name: getattr(config, name)
            for name in ("cutoff", "max_sigma", "width", "num_layers", "num_steps", "batch_size")
        },
        **{
            name: result[name].round(4).tolist()
            for name in ("steps", "loss", "validation_t", "validation_loss")
        },
    }


def _case_numbers(
    case: Case,
    positions: Array,
    after: Arrays,
    lengths: Lengths,
    a0: float,
    cohesive: float,
    reference: tuple[Array, Array],
) -> dict[str, Any]:
    numbers: dict[str, Any] = {
        "start_sigma": case.sigma,
        "num_structures": len(positions),
        "generated": _structure_numbers(positions, lengths),
        "relaxed": _structure_numbers(after["positions"], lengths),
        "num_refused_by_lammps": int(np.isnan(after["relaxed_ev"]).sum()),
        "energy_above_diamond_ev": _mean_and_spread(after["raw_ev"] - cohesive),
        "relaxed_energy_above_diamond_ev": _mean_and_spread(after["relaxed_ev"] - cohesive),
    }
    if case.form == "amorphous":
        generated = mean_rdf(positions, lengths)
        return numbers | {
            "rdf_to_held_out": rdf_difference(generated, reference),
            "first_peak": _first_peak(generated),
        }
    on_sites = np.array(
        [on_diamond_sites(structure, np.array(lengths), a0).mean() for structure in positions]
    )
    return numbers | {
        "share_on_sites": _mean_and_spread(on_sites),
        "num_perfect": int((on_sites == 1.0).sum()),
    }


def _structure_numbers(structures: Array, lengths: Lengths) -> dict[str, Any]:
    """Means of bonds and angles over structures, and spreads where structures may differ."""
    box = np.array(lengths)
    shares = coordination_shares(structures, box)
    angles = np.concatenate(
        [angle for positions in structures for angle in bond_angles(positions, box)]
    )
    return {
        "coordination": {
            str(bonded): float(share) for bonded, share in enumerate(shares.mean(axis=0))
        },
        "sp2": _mean_and_spread(shares[:, 3]),
        "sp3": _mean_and_spread(shares[:, 4]),
        "tetrahedral": _mean_and_spread(
            np.array([is_tetrahedral(positions, box).mean() for positions in structures])
        ),
        "angle_mean_deg": float(angles.mean()) if len(angles) else None,
        "angle_spread_deg": float(angles.std()) if len(angles) else None,
    }


def _mean_and_spread(values: Array) -> dict[str, float]:
    """Over structures that have a value; the spread is the sample's standard deviation."""
    known = values[np.isfinite(values)]
    return {
        "mean": float(known.mean()) if len(known) else np.nan,
        "std": float(known.std(ddof=1)) if len(known) > 1 else np.nan,
    }


def _first_peak(curve: tuple[Array, Array]) -> dict[str, float]:
    r, g = curve
    highest = int(np.argmax(g))
    return {"r": float(r[highest]), "g": float(g[highest])}


def _samples(
    budget: CarbonBudget, held_out: Array, lengths: dict[Form, Lengths], sampled: Sequence[Array]
) -> list[Sample]:
    """What the figure shows: the held-out glass, then every case."""
    box = lengths["amorphous"]
    samples = [
        Sample(
            "melt-quench, held out",
            "amorphous",
            None,
            held_out,
            np.array(box),
            *mean_rdf(held_out, box),
        )
    ]
    for case, positions in zip(budget.cases, sampled, strict=True):
        box = lengths[case.form]
        start = "random start" if case.sigma is None else f"start noise {case.sigma} Å"
        samples.append(
            Sample(
                f"{case.form}, {start}",
                case.form,
                case.sigma,
                positions,
                np.array(box),
                *mean_rdf(positions, box),
            )
        )
    return samples
