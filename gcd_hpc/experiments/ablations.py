"""Ablations of the model on the tungsten boundary, each with one change of the default campaign.

All models train on all structures of the search, for as many core-seconds as the base model. All
variants sample the same candidate indices, so that they share the noise and, unless these are what
is changed, the registries.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch

from gcd_hpc.accounts.rates import wilson
from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.learning import EVALUATIONS_PER_STEP
from gcd_hpc.config.loader import load_campaign
from gcd_hpc.config.shipped import shipped
from gcd_hpc.experiments import boundary
from gcd_hpc.experiments.ablation_figures import ablation_figure
from gcd_hpc.experiments.boundary import BoundaryBudget, base_config, search_data_set
from gcd_hpc.experiments.boundary_numbers import PHASES, joined, phase_hits
from gcd_hpc.experiments.boundary_tasks import relax_block, train_model
from gcd_hpc.experiments.outcome import Outcome
from gcd_hpc.experiments.runs import VERSION, lent, open_run
from gcd_hpc.experiments.work import Arrays, Report, Task, Workshop, core_s
from gcd_hpc.learning.boundary import load_boundary_system
from gcd_hpc.learning.decoding import prepare_decoder
from gcd_hpc.learning.sampler import Sampler
from gcd_hpc.stages.promote import hold_out_losses
from gcd_hpc.stages.train import source_of
from gcd_hpc.store.parts import read_part, write_part
from gcd_hpc.store.provenance import campaign_provenance
from gcd_hpc.store.run_directory import RunDirectory, chunk_indices
from gcd_hpc.structures.energetics import lowest_energies

NEAR_J_M2 = 0.2
"""Energy above the lowest known of the same [n] up to which a candidate counts as good."""


@dataclass(frozen=True)
class Trained:
    """A model and its differences from the base."""

    overrides: tuple[str, ...] = ()
    step_cost: float = 1.0
    """Core-seconds of a training step relative to the base model, measured on one core.

    On a GPU the ratio is smaller.
    """
    is_comparable: bool = False
    """True if the loss is comparable with that of the base model."""


@dataclass(frozen=True)
class Variant:
    """A row of a table: a model and the settings of its sampling."""

    table: str
    label: str
    model: str = "base"
    overrides: tuple[str, ...] = ()

    @property
    def stem(self) -> str:
        """Stem of the variant's file names and progress bars."""
        return re.sub("[^A-Za-z0-9.+]+", "-", f"{self.table} {self.label}").lower()


MODELS = {
    "base": Trained(is_comparable=True),
    "scale-0.02": Trained(("voxels.scale=0.02",)),
    "patch-1": Trained(("network.patch=1",), step_cost=5.9, is_comparable=True),
    "epsilon": Trained(("diffusion.prediction=epsilon",)),
    "repaint": Trained(("diffusion.inpainting=repaint",)),
    "symmetry": Trained(("training.symmetry=true",), is_comparable=True),
}
VARIANTS = (
    Variant("base", "campaigns/w_sigma5.yaml"),
    Variant("voxel scale", "0.02", "scale-0.02"),
    Variant("patch", "1", "patch-1"),
    Variant("prediction", "epsilon", "epsilon"),
    *(
        Variant(
            "solver",
            f"{solver}, {number} evaluations",
            overrides=(f"sampling.solver={solver}", f"sampling.num_steps={number // each}"),
        )
        for solver, each in EVALUATIONS_PER_STEP.items()
        for number in (15, 30, 60)
    ),
    Variant("in-painting", "RePaint, each step once", "repaint", ("sampling.resamples=1",)),
    Variant("in-painting", "RePaint, each step 5 times", "repaint", ("sampling.resamples=5",)),
    Variant("decoder", "learned", overrides=("decoder.kind=learned",)),
    Variant("registry", "uniform", overrides=("sampling.bootstrap_share=0",)),
    Variant("symmetry", "augmented", "symmetry"),
)


@dataclass(frozen=True)
class AblationBudget:
    """Amounts of training and sampling."""

    num_steps: int
    """Number of training steps of the base model."""
    num_blocks: int
    """Number of blocks of candidates of each variant."""
    block_size: int
    overrides: tuple[str, ...] = ()


QUICK = AblationBudget(1_000, 1, 100)
FULL = AblationBudget(20_000, 10, 100)
BUDGETS = {"quick": QUICK, "full": FULL}


def ablations(workshop: Workshop) -> Outcome:
    """Quality and cost of each choice of the model, from voxel scale to symmetry."""
    return compare(workshop, BUDGETS[workshop.budget], boundary.BUDGETS[workshop.budget])


def compare(workshop: Workshop, budget: AblationBudget, data_budget: BoundaryBudget) -> Outcome:
    """Run search, trainings, sampling and relaxation; return the numbers and the figure."""
    base = base_config(workshop.seed, data_budget)
    searched, found = search_data_set(workshop, base)
    shared = shared_overrides(base, budget)
    lenders, trained = train_models(workshop, budget, searched, shared)
    configs = [variant_config(shared, budget, row) for row in VARIANTS]
    runs = [
        lent(workshop.work, "ablation", config, lenders[row.model])
        for row, config in zip(VARIANTS, configs, strict=True)
    ]
    learned = [
        run for run, config in zip(runs, configs, strict=True) if config.decoder.kind == "learned"
    ]
    decoders = workshop.run([Task("ablation-decoder", train_decoder, (run,)) for run in learned])

    sampled, relaxed = use_variants(workshop, budget, runs)
    tried = [joined(pieces) for pieces in relaxed]
    numbers = study_numbers(budget, found, trained, configs, tried)
    num = budget.num_blocks * budget.block_size
    costs: dict[str, Any] = {
        "search": float(found["core_s"]),
        "training": core_s(trained.values()),
        "decoder training": core_s(decoders),
        "sampling": core_s(piece for pieces in sampled for piece in pieces),
        "relaxation": core_s(tried),
        "a training step": {
            name: float(trained[name]["core_s"]) / num_steps(budget, name) for name in MODELS
        },
        "sampling a candidate": {
            row.stem: core_s(pieces, "sampling_s") / num
            for row, pieces in zip(VARIANTS, sampled, strict=True)
        },
        "relaxing a candidate": {
            row.stem: core_s(pieces) / num for row, pieces in zip(VARIANTS, relaxed, strict=True)
        },
    }
    return Outcome(
        numbers, costs, ablation_figure(numbers, list(costs["sampling a candidate"].values()))
    )


def use_variants(
    workshop: Workshop, budget: AblationBudget, runs: list[Path]
) -> tuple[list[list[Arrays]], list[list[Arrays]]]:
    """Sample and relax the blocks of all variants."""
    blocks = [
        (row.stem, run, block)
        for row, run in zip(VARIANTS, runs, strict=True)
        for block in range(budget.num_blocks)
    ]
    samplings = [
        Task(f"ablation-sample-{stem}-{block}", sample_variant, (run, block, workshop.device))
        for stem, run, block in blocks
    ]
    sampled = by_variant(workshop.run(samplings, on_device=True))
    relaxations = [
        Task(f"ablation-relax-{stem}-{block}", relax_block, (run, block))
        for stem, run, block in blocks
    ]
    return sampled, by_variant(workshop.run(relaxations))


def study_numbers(
    budget: AblationBudget,
    found: Arrays,
    trained: dict[str, Arrays],
    configs: list[CampaignConfig],
    tried: list[Arrays],
) -> dict[str, Any]:
    """Quality of every variant, and hold-out loss of every model."""
    lowest = lowest_known([found, *tried])
    return {
        "near_j_m2": NEAR_J_M2,
        "lowest_known_j_m2": {
            f"{fraction:g}": energy for fraction, energy in sorted(lowest.items())
        },
        "training_structures": len(trained["base"]["n_fraction"]),
        "training_steps": {name: num_steps(budget, name) for name in MODELS},
        "hold_out_loss": {
            name: float(trained[name]["hold_out_loss"])
            for name, model in MODELS.items()
            if model.is_comparable
        },
        "variants": [
            {
                "name": row.stem,
                "table": row.table,
                "label": row.label,
                "model": row.model,
                "evaluations": num_evaluations(config),
            }
            | quality(arrays, lowest)
            for row, config, arrays in zip(VARIANTS, configs, tried, strict=True)
        ],
    }


def train_models(
    workshop: Workshop, budget: AblationBudget, searched: Path, shared: tuple[str, ...]
) -> tuple[dict[str, Path], dict[str, Arrays]]:
    """Train all models; return the run directory and the training arrays of each, by name."""
    runs = {
        name: open_run(workshop.work, "ablation", model_config(shared, budget, name))
        for name in MODELS
    }
    tasks = [
        Task(
            f"ablation-train-{name}",
            train_variant,
            (runs[name], searched, model.is_comparable, workshop.device),
        )
        for name, model in MODELS.items()
    ]
    return runs, dict(zip(MODELS, workshop.run(tasks, on_device=True), strict=True))


def shared_overrides(data: CampaignConfig, budget: AblationBudget) -> tuple[str, ...]:
    """Overrides of the default campaign that all variants share."""
    return (
        f"seed={data.seed}",
        f"boundary.slab_heights={json.dumps(data.boundary.slab_heights)}",
        f"voxels.shape={json.dumps(data.voxels.shape)}",
        f"voxels.known={data.voxels.known}",
        f"sampling.num_candidates={budget.num_blocks * budget.block_size}",
        f"sampling.chunk_size={budget.block_size}",
        "relaxation.preset=tight",
        "relaxation.screen=false",
        *budget.overrides,
    )


def num_steps(budget: AblationBudget, model: str) -> int:
    """Number of training steps that cost as much as those of the base model."""
    return max(1, round(budget.num_steps / MODELS[model].step_cost))


def model_config(
    shared: tuple[str, ...], budget: AblationBudget, model: str, *more: str
) -> CampaignConfig:
    """Campaign config that trains one model."""
    steps = f"training.num_steps={num_steps(budget, model)}"
    return load_campaign(
        shipped("campaigns/w_sigma5.yaml"), [*shared, *MODELS[model].overrides, steps, *more]
    )


def variant_config(
    shared: tuple[str, ...], budget: AblationBudget, variant: Variant
) -> CampaignConfig:
    """Campaign config that samples one variant."""
    return model_config(shared, budget, variant.model, *variant.overrides)


def num_evaluations(config: CampaignConfig) -> int:
    """Number of network evaluations for one candidate."""
    repeats = config.sampling.resamples if config.diffusion.inpainting == "repaint" else 1
    return repeats * config.sampling.num_steps * EVALUATIONS_PER_STEP[config.sampling.solver]


def train_variant(
    run_dir: Path, searched: Path, is_comparable: bool, device: str, report: Report
) -> Arrays:
    """Train a model, and add its loss on held-out structures in the base model's representation."""
    arrays = train_model(run_dir, searched, device, report)
    run, loss = RunDirectory(run_dir), float("nan")
    if is_comparable:
        found = source_of(run, VERSION)
        config = found.system.config
        training = config.training.model_copy(update={"symmetry": False})
        plain = replace(found.system, config=config.model_copy(update={"training": training}))
        source, compute = replace(found, system=plain), torch.device(device)
        loss = hold_out_losses(run, [source], VERSION, (VERSION,), compute)[VERSION]
    return {**arrays, "hold_out_loss": np.array(loss)}


def train_decoder(run_dir: Path, report: Report) -> Arrays:
    """Train the learned decoder of a run on the training set of its model."""
    prepare_decoder(
        run_dir,
        load_boundary_system(str(run_dir)),
        read_part(RunDirectory(run_dir).training_set(VERSION)),
    )
    report(1.0)
    return {}


def sample_variant(run_dir: Path, block: int, device: str, report: Report) -> Arrays:
    """Sample one block of candidates.

    sampling_s is core-seconds without loading; on CUDA it is wall time.
    """
    clock = perf_counter if device == "cuda" else process_time
    config = load_boundary_system(str(run_dir)).config
    sampler = Sampler.load(run_dir, VERSION, device)
    started = clock()
    rows = sampler.sample(
        chunk_indices(config.sampling.num_candidates, config.sampling.chunk_size, block)
    )
    seconds = clock() - started
    write_part(
        RunDirectory(run_dir).sampled_part(VERSION, block), rows, campaign_provenance(config)
    )
    report(1.0)
    return {"sampling_s": np.array(seconds)}


def by_variant(pieces: list[Arrays]) -> list[list[Arrays]]:
    """Group the arrays of all blocks by variant, in the order of the variants."""
    each = len(pieces) // len(VARIANTS)
    return [pieces[start : start + each] for start in range(0, len(pieces), each)]


def lowest_known(tried: Sequence[Arrays]) -> dict[float, float]:
    """Lowest energy of each [n] over all variants and the search, J/m^2."""
    names = ("status", "n_fraction", "gb_energy_j_m2")
    status, fractions, energies = (
        np.concatenate([arrays[name] for arrays in tried]) for name in names
    )
    ok = status == "ok"
    return lowest_energies(fractions[ok], energies[ok])


def quality(arrays: Arrays, lowest: dict[float, float]) -> dict[str, Any]:
    """Quality of one variant. Shares are of all candidates, including refused and failed ones.

    Args:
        lowest: lowest energy known of each [n], J/m^2.
    """
    num, ok = len(arrays["status"]), arrays["status"] == "ok"
    energies = zip(arrays["n_fraction"][ok], arrays["gb_energy_j_m2"][ok], strict=True)
    above = np.array([energy - lowest[float(fraction)] for fraction, energy in energies])
    return {
        "candidates": num,
        "valid": share(int(ok.sum()), num),
        "near": share(int((above <= NEAR_J_M2).sum()), num),
        "phases": {
            phase.name: share(int(phase_hits(arrays, phase).sum()), num) for phase in PHASES
        },
        "median_above_lowest_j_m2": float(np.median(above)) if len(above) else None,
    }


def share(hits: int, num: int) -> dict[str, Any]:
    """Share with Wilson's 95 % interval."""
    estimate = wilson(hits, num)
    return {"hits": hits, "share": estimate.value, "wilson_95": [estimate.low, estimate.high]}
