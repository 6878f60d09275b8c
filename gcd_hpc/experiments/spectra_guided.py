"""Carbon guided by a spectrum (k2): cells of one density, moved towards spectra of others.

The number of bonds follows from the density in these data, so that structures made at a target's
density prove nothing. Here the density is fixed and the targets differ. A network of another
architecture judges, which never guides, and FEFF10 where it is installed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gcd_hpc.config.shipped import install_command
from gcd_hpc.diffusion.exploding import Anneal
from gcd_hpc.engines.child import LammpsChild
from gcd_hpc.engines.potentials import find_potential
from gcd_hpc.engines.quench import relax_periodic
from gcd_hpc.experiments.carbon import TIMEOUT_S, relax_generated
from gcd_hpc.experiments.carbon_budget import CARBON
from gcd_hpc.experiments.carbon_data import network_labels
from gcd_hpc.experiments.outcome import Outcome
from gcd_hpc.experiments.spectra_baselines import baselines
from gcd_hpc.experiments.spectra_engine import (
    cell_tasks,
    engine_numbers,
    frame_tasks,
    version,
)
from gcd_hpc.experiments.spectra_figures import guided_figure
from gcd_hpc.experiments.spectra_forward import FULL as FULL_NETWORKS
from gcd_hpc.experiments.spectra_forward import QUICK as QUICK_NETWORKS
from gcd_hpc.experiments.spectra_forward import ForwardBudget, guide_task, judge_task
from gcd_hpc.experiments.spectra_networks import NUM_TURNS, labelled
from gcd_hpc.experiments.spectra_numbers import bond_numbers, rms
from gcd_hpc.experiments.spectra_outcome import (
    Cells,
    Check,
    Truth,
    acceptance,
    condition_numbers,
    rdf_between_frames,
    table,
)
from gcd_hpc.experiments.spectra_sampling import box, prior_config, prior_task, sampling_task
from gcd_hpc.experiments.spectra_targets import (
    Condition,
    cell_spectrum,
    fold,
    line,
    target_of,
)
from gcd_hpc.experiments.work import Arrays, Report, Task, Workshop, core_s
from gcd_hpc.learning.particles import Lengths, ParticleConfig
from gcd_hpc.learning.property_labels import LabelledStructure
from gcd_hpc.learning.property_network import load_property
from gcd_hpc.learning.property_training import predict

Array = NDArray[np.float64]

STRENGTH = 4.0
"""Strength of the main conditions. At 1, Bayes' rule, cells move less than half as far."""
MAIN = (
    Condition("unguided", "none"),
    Condition("2.0", "low", STRENGTH),
    Condition("3.0", "high", STRENGTH),
    Condition("own", "own", STRENGTH),
    Condition("permuted", "permuted", STRENGTH),
)
STRENGTHS = (
    Condition("2.0-weak", "low", 0.25, num_cells=5),
    Condition("2.0-bayes", "low", 1.0, num_cells=5),
    Condition("3.0-weak", "high", 0.25, num_cells=5),
    Condition("3.0-bayes", "high", 1.0, num_cells=5),
)
RELAXED = ("unguided", "2.0", "3.0")
ENDS = ("2.0", "3.0")
"""Conditions whose atoms FEFF10 computes."""
SHELLS = (2, 3)
"""Shells of bonds within which surroundings are compared with those of the training frames."""


@dataclass(frozen=True)
class GuidedBudget:
    """Networks and numbers of cells."""

    networks: ForwardBudget
    prior: ParticleConfig
    plan: Anneal
    main: tuple[Condition, ...] = MAIN
    strengths: tuple[Condition, ...] = STRENGTHS
    """The targets 2.0 and 3.0 at other strengths."""
    relaxed: tuple[str, ...] = RELAXED
    """Names of the conditions whose cells are relaxed."""
    num_labelled: int = 60
    """Atoms of each of the targets 2.0 and 3.0 that FEFF10 computes; 0 does without."""
    num_reference: int = 20
    """Atoms of a true frame of 2.0 and one of 3.0 g/cm^3, which tie its scale to the data's."""

    def condition(self, name: str) -> Condition:
        """Condition of the main ones by its name."""
        return next(one for one in self.main if one.name == name)


QUICK = GuidedBudget(QUICK_NETWORKS, prior_config(16_000), Anneal(num_restarts=2))
FULL = GuidedBudget(
    FULL_NETWORKS,
    replace(prior_config(300_000, width=128, num_layers=4), batch_size=16, learning_rate=1e-3),
    Anneal(),
    tuple(replace(one, num_cells=100) for one in MAIN),
    tuple(replace(one, num_cells=100) for one in STRENGTHS),
)


def k2(workshop: Workshop) -> Outcome:
    """Carbon of one density, guided to the spectra of two others and to controls."""
    return study_guided(workshop, {"quick": QUICK, "full": FULL}[workshop.budget])


def network_tasks(workshop: Workshop, budget: GuidedBudget) -> list[tuple[Task, Path]]:
    """Training tasks of the prior, the guide and the judge, and their files."""
    return [
        prior_task(workshop, budget.prior),
        guide_task(workshop, budget.networks),
        judge_task(workshop, budget.networks),
    ]


def study_guided(workshop: Workshop, budget: GuidedBudget) -> Outcome:
    """Run the experiment with any budget."""
    networks = network_tasks(workshop, budget)
    asks_engine = budget.num_labelled > 0 and version() is not None
    frames = frame_tasks(workshop, budget.num_reference, len(ENDS)) if asks_engine else []
    # On the CPU FEFF10 uses the core that the longest training, the prior's, leaves idle.
    first = workshop.run([*(task for task, _ in networks), *frames], on_device=True)
    trained, references = first[: len(networks)], first[len(networks) :]
    prior, guide, judge = (path for _, path in networks)
    conditions = [*budget.main, *budget.strengths]
    samplings = [
        sampling_task(workshop, condition, prior, guide, budget.plan) for condition in conditions
    ]
    sampled = workshop.run(samplings, on_device=True)
    sources = {
        condition.name: workshop.path(task)
        for condition, task in zip(conditions, samplings, strict=True)
    }
    relaxing = [
        Task(f"spectra-relax-{name}", relax_generated, (sources[name], box()))
        for name in budget.relaxed
    ]
    examining = [
        Task("spectra-judged", judge_cells, (tuple(sources.values()), box(), judge, guide)),
        Task("spectra-true", examine_true_frames, (judge,)),
    ]
    judged, true, *relaxed = workshop.run([*examining, *relaxing])
    found = cells_of(conditions, sampled, judged, workshop.seed)
    for name, result in zip(budget.relaxed, relaxed, strict=True):
        found[name] = replace(
            found[name], relaxed=result["positions"], relaxed_ev=result["relaxed_ev"]
        )
    truth = truth_of(true)
    numbers = study_numbers(found, truth, workshop.seed)
    labelled = ask_engine(workshop, budget, [sources[name] for name in ENDS], references, numbers)
    costs = {
        "training": core_s(trained),
        "sampling": core_s(sampled),
        "judging": core_s([judged, true]),
        "relaxation": core_s(relaxed),
        "feff10": core_s(labelled),
    }
    main = [found[condition.name] for condition in budget.main]
    return Outcome(numbers, costs, guided_figure(main, truth, numbers))


def cells_of(
    conditions: Sequence[Condition], sampled: Sequence[Arrays], judged: Arrays, seed: int
) -> dict[str, Cells]:
    """Generated cells by the names of their conditions."""
    return {
        condition.name: Cells(
            condition,
            target_of(condition, seed),
            result["positions"],
            judged[f"judge-{number}"],
            judged[f"guide-{number}"],
        )
        for number, (condition, result) in enumerate(zip(conditions, sampled, strict=True))
    }


def ask_engine(
    workshop: Workshop,
    budget: GuidedBudget,
    sources: Sequence[Path],
    references: Sequence[Arrays],
    numbers: dict[str, Any],
) -> list[Arrays]:
    """Compute spectra of some atoms by FEFF10, and add what it says to the numbers.

    Where FEFF10 is not installed, the numbers say so and all else stays.

    Args:
        references: what FEFF10 computed of true frames; none where it is not asked.

    Returns:
        All that FEFF10 computed.
    """
    if not budget.num_labelled:
        return []
    if version() is None:
        cure = install_command("spectra")
        numbers["feff10"] = {"skipped": f"FEFF10 is not installed; install it: {cure}"}
        return []
    tasks = cell_tasks(workshop, sources, box(), budget.num_labelled)
    labelled = workshop.run(tasks)
    values = {
        name: np.concatenate(
            [
                result["values"]
                for task, result in zip(tasks, labelled, strict=True)
                if task.arguments[0] == source
            ]
        )
        for name, source in zip(ENDS, sources, strict=True)
    }
    numbers["feff10"] = engine_numbers(values, references, line(), workshop.seed)
    numbers["judges"]["FEFF10"] = numbers["feff10"]["a"]
    apart = numbers["feff10"]["apart"]
    measured = f"{apart['value']:.2f} +- {apart['standard_error']:.2f}"
    numbers["acceptance"] += table([Check("FEFF10: a(3.0) - a(2.0)", "report", measured, None)])
    return [*labelled, *references]


def study_numbers(found: dict[str, Cells], truth: Truth, seed: int) -> dict[str, Any]:
    """All numbers of the record."""
    unguided, along = found["unguided"], line()
    conditions = {
        name: condition_numbers(cells, unguided, truth, along, seed, number)
        for number, (name, cells) in enumerate(found.items())
    }
    places = {"2.0": "low", "3.0": "high"}
    strengths = {
        target: sorted(
            [conditions["unguided"] | {"strength": 0.0}]
            + [one for one in conditions.values() if one["target"] == places[target]],
            key=lambda one: one["strength"],
        )
        for target in places
    }
    checks = acceptance(found["2.0"], found["3.0"], found["own"], unguided, truth, along, seed)
    return {
        "acceptance": table(checks),
        "true_frames": {
            "a_exact": float(along.place(truth.spectrum)),
            "a_judge": along.place(truth.judge).tolist(),
            "judge_error": truth.floor,
            "bonds": bond_numbers(truth.positions, truth.lengths),
            "rdf_between_frames": rdf_between_frames(truth),
        },
        "density_only": density_only(),
        "conditions": conditions,
        "strengths": strengths,
        "judges": {
            label: {
                name: conditions[name][key]
                for name in found
                if name in (*RELAXED, "own", "permuted")
            }
            for label, key in (("judge", "a_judge"), ("guide", "a_guide"))
        },
        "novelty": {name: novelty(cells, truth) for name, cells in found.items()},
    }


# Tasks


def judge_cells(
    sources: tuple[Path, ...], lengths: Lengths, judge: Path, guide: Path, report: Report
) -> Arrays:
    """Mean spectra "judge-I" and "guide-I" (M, K) of the cells of source number I."""
    networks = {"judge": load_property(judge).network, "guide": load_property(guide).network}
    spectra = {}
    for number, source in enumerate(sources):
        cells = [unlabelled(positions, lengths) for positions in np.load(source)["positions"]]
        for name, network in networks.items():
            num_turns = NUM_TURNS if name == "judge" else 1
            spectra[f"{name}-{number}"] = np.stack(
                [predict([network], cell, num_turns).mean(axis=0) for cell in cells]
            )
        report((number + 1) / len(sources))
    return spectra


def unlabelled(positions: Array, lengths: ArrayLike) -> LabelledStructure:
    """A generated cell, whose spectra nobody has measured."""
    nothing = np.full((len(positions), 1), np.nan)
    return LabelledStructure("cell", "generated", "C", positions, np.asarray(lengths), nothing)


def examine_true_frames(judge: Path, report: Report) -> Arrays:
    """The judge's spectra of the true frames, and the first of these frames relaxed.

    Returns "judge" and "true" (M, K), "relaxed" (1, N, 3) Å and "relaxed_ev", eV an atom.
    """
    frames = fold().held_out
    network = load_property(judge).network
    spectra = [predict([network], labelled(frame), NUM_TURNS).mean(axis=0) for frame in frames]
    report(0.5)
    with LammpsChild(find_potential(CARBON, "C", Path()), TIMEOUT_S) as child:
        relaxed = relax_periodic(child, frames[0].positions, frames[0].lengths)
    return {
        "judge": np.stack(spectra),
        "true": np.stack([cell_spectrum(frame) for frame in frames]),
        "relaxed": relaxed.positions[None],
        "relaxed_ev": np.array(relaxed.energies.mean()),
    }


def truth_of(arrays: Arrays) -> Truth:
    """What is known of the true frames of the density."""
    known = fold()
    return Truth(
        spectrum=arrays["true"].mean(axis=0),
        positions=np.stack([frame.positions for frame in known.held_out]),
        lengths=known.held_out[0].lengths,
        judge=arrays["judge"],
        errors=arrays["judge"] - arrays["true"],
        relaxed=arrays["relaxed"],
        relaxed_ev=float(arrays["relaxed_ev"]),
        known={
            num_shells: frozenset(
                label
                for frame in known.training
                for label in network_labels(frame.positions, frame.lengths, num_shells)
            )
            for num_shells in SHELLS
        },
    )


def novelty(cells: Cells, truth: Truth) -> dict[str, float]:
    """Share of atoms whose surroundings occur in the training frames, by number of shells."""
    return {
        str(num_shells): float(
            np.mean(
                [
                    label in truth.known[num_shells]
                    for positions in cells.positions
                    for label in network_labels(positions, truth.lengths, num_shells)
                ]
            )
        )
        for num_shells in SHELLS
    }


def density_only() -> dict[str, Any]:
    """Spectrum of the own density, interpolated between those of the training frames."""
    known = fold()
    frames = known.held_out
    predicted = baselines(known.training, frames)["density"].mean(axis=(0, 1))
    true = np.mean([cell_spectrum(frame) for frame in frames], axis=0)
    return {"spectrum": predicted.tolist(), "error": float(rms(predicted - true))}
