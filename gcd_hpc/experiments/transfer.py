"""Transfer: what the built-in model gives on boundaries that it has not learned from.

The boundaries are those of ``campaigns/transfer``. The model's zero-shot candidates are compared
with two rivals, fresh tries with dynamics and tries at the same registries without the model, and
an exploration that begins with its candidates and has its moves with one that has neither. All of
it is done in the cells of the files and in cells twice as long and twice as wide, where a third
rival is the lowest structure of the small cell, repeated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.loader import load_campaign_or_set
from gcd_hpc.config.set import SetConfig
from gcd_hpc.config.shipped import shipped
from gcd_hpc.config.starting import BUILTIN, BUILTIN_FILE, with_model
from gcd_hpc.experiments.boundary_tasks import search_more
from gcd_hpc.experiments.outcome import Outcome
from gcd_hpc.experiments.runs import copied, open_run
from gcd_hpc.experiments.transfer_figures import transfer_figure
from gcd_hpc.experiments.transfer_numbers import (
    FRESH,
    MODEL,
    REGISTRIES,
    WITH,
    WITHOUT,
    loop_numbers,
    lowest_of,
    medians,
    method_numbers,
    rate_numbers,
)
from gcd_hpc.experiments.transfer_tasks import loop, registries_only, zero_shot
from gcd_hpc.experiments.work import Arrays, Task, Workshop, core_s
from gcd_hpc.learning.model_file import load_model
from gcd_hpc.store.run_directory import RunDirectory

FRESH_FROM = 1_000_000
"""First index of the fresh tries, whose random streams differ from those of the loops."""
NUM_RIVALS = 2


@dataclass(frozen=True)
class TransferBudget:
    """Amounts of sampling and exploration."""

    num_candidates: int
    """Zero-shot candidates of each boundary, and tries of each rival."""
    num_seeds: int
    """Explorations of each boundary with and without the model."""
    loop_s: float
    """Core-seconds of each of them in the cells of the files; more in larger ones, by area."""
    cells: tuple[int, ...] = (1, 2)
    """In-plane cells, by how often those of the files are repeated along both edges; the smallest
    first.
    """
    metals: tuple[str, ...] = ("w", "fe", "ta", "cu", "al", "ni")
    """Files of ``campaigns/transfer``."""
    names: tuple[str, ...] = ()
    """Boundaries to which a trial is restricted; all when there are none."""
    overrides: tuple[str, ...] = ()
    """Changes of the campaigns, as of ``--set``."""


QUICK = TransferBudget(20, 1, 30.0)
FULL = TransferBudget(200, 5, 300.0)
BUDGETS = {"quick": QUICK, "full": FULL}


def transfer(workshop: Workshop) -> Outcome:
    """Hit rates and core-seconds on boundaries that the built-in model has not seen."""
    return study(workshop, BUDGETS[workshop.budget], BUILTIN)


def study(workshop: Workshop, budget: TransferBudget, model: str) -> Outcome:
    """Run model and rivals on all boundaries; return the numbers and the figure.

    Args:
        model: file, or ``builtin``.
    """
    file = BUILTIN_FILE if model == BUILTIN else Path(model)
    _, card = load_model(file)
    configs = held_out(budget, workshop.seed)
    trials = [
        Trial.of(workshop, budget, boundary, cells, config, file, card.sha256)
        for (boundary, cells), config in configs.items()
    ]
    # The candidates come first, because a rival needs their registries.
    shots = workshop.run([trial.shot for trial in trials])
    others = [(*trial.rivals, *trial.loops) for trial in trials]
    results = iter(workshop.run([task for some in others for task in some]))
    found = [[next(results) for _ in some] for some in others]
    boundaries: dict[str, dict[str, Any]] = {}
    smaller: dict[str, Arrays] = {}
    for trial, shot, rest in zip(trials, shots, found, strict=True):
        tiles = smaller.get(trial.boundary)
        boundaries[trial.name] = trial_numbers(shot, rest, tiles)
        smaller[trial.boundary] = lowest_of([shot, *rest, *([] if tiles is None else [tiles])])
    costs = {
        "zero-shot candidates": core_s(shots),
        "rivals": core_s(one for rest in found for one in rest[:NUM_RIVALS]),
        "loops": core_s(one for rest in found for one in rest[NUM_RIVALS:]),
    }
    numbers = {
        "model": {
            "sha256": card.sha256,
            "boundaries": [one.name for one in card.boundaries],
            "structures": card.num_structures,
            "hold_out_loss": card.validation_loss,
        },
        "boundaries": boundaries,
        "medians": {
            size_name(cells): medians(
                {trial.name: boundaries[trial.name] for trial in trials if trial.cells == cells}
            )
            for cells in budget.cells
        },
    }
    return Outcome(numbers, costs, transfer_figure(numbers, budget.loop_s))


def size_name(cells: int) -> str:
    """Name of an in-plane cell, such as 2x2."""
    return f"{cells}x{cells}"


def held_out(budget: TransferBudget, seed: int) -> dict[tuple[str, int], CampaignConfig]:
    """Campaigns by the name of metal and boundary, and by the in-plane cell; small cells first."""
    boundaries: dict[str, CampaignConfig] = {}
    for metal in budget.metals:
        file = shipped(f"campaigns/transfer/{metal}.yaml")
        some = load_campaign_or_set(file, [*budget.overrides, f"seed={seed}"])
        assert isinstance(some, SetConfig)
        for member, config in some.members().items():
            boundaries[f"{config.boundary.symbols[0]}_{member}"] = config
    return {
        (name, cells): enlarged(config, cells).model_copy(
            update={"name": name if cells == 1 else f"{name}_{size_name(cells)}"}
        )
        for cells in budget.cells
        for name, config in boundaries.items()
        if not budget.names or name in budget.names
    }


def enlarged(config: CampaignConfig, cells: int) -> CampaignConfig:
    """The same campaign in a cell that is repeated along both edges."""
    along_x, along_y = config.boundary.replicas
    replicas = (along_x * cells, along_y * cells)
    boundary = config.boundary.model_copy(update={"replicas": replicas})
    return config.model_copy(update={"boundary": boundary})


@dataclass(frozen=True)
class Trial:
    """Tasks of one boundary in one in-plane cell."""

    name: str
    boundary: str
    """Metal and boundary without the cell."""
    cells: int
    shot: Task
    """Candidates of the model."""
    rivals: tuple[Task, ...]
    """Fresh tries, and tries at the registries of the candidates."""
    loops: tuple[Task, ...]
    """Exploration without the model, one task a seed, then with it."""

    @classmethod
    def of(
        cls,
        workshop: Workshop,
        budget: TransferBudget,
        boundary: str,
        cells: int,
        config: CampaignConfig,
        model: Path,
        sha256: str,
    ) -> "Trial":
        """Tasks of a boundary; its run directories are prepared.

        Args:
            boundary, cells: keys of the campaign in ``held_out``.
            model: file of the model. sha256: its hash, for which run directories are named.
        """
        name = config.name
        given = with_model(config.model_copy(update={"model": str(model.resolve())}), Path(), name)

        def opened(what: str, base: CampaignConfig, changes: Mapping[str, Any]) -> Path:
            is_given = base.model is not None
            stem = f"{name}-{what}-{sha256[:8]}" if is_given else f"{name}-{what}"
            run = open_run(workshop.work, stem, changed(base, changes))
            if is_given:
                copied(model, RunDirectory(run).model_file(0))
            return run

        sampled = opened(
            "zero-shot",
            given,
            {"search.num_tries": 0, "sampling.num_candidates": budget.num_candidates},
        )
        seeds = range(workshop.seed, workshop.seed + budget.num_seeds)
        loop_s = budget.loop_s * cells**2
        loops = [
            Task(f"{name}-{label}-{seed}", loop, (run, loop_s))
            for label, base, changes in (
                ("without", config, {}),
                ("with", given, {"search.num_tries": 0}),
            )
            for seed in seeds
            for run in [opened(f"{label}-{seed}", base, {"seed": seed, **changes})]
        ]
        last = FRESH_FROM + budget.num_candidates
        fresh = opened("fresh", config, {})
        rivals = (
            Task(f"{name}-fresh", search_more, (fresh, FRESH_FROM, last, 1.0)),
            Task(f"{name}-registries", registries_only, (sampled,)),
        )
        shot = Task(f"{name}-zero-shot", zero_shot, (sampled,))
        return cls(name, boundary, cells, shot, rivals, tuple(loops))


def changed(config: CampaignConfig, changes: Mapping[str, Any]) -> CampaignConfig:
    """A campaign with other values of keys such as ``seed`` or ``search.num_tries``."""
    plain = config.model_dump()
    for key, value in changes.items():
        *sections, last = key.split(".")
        place = plain
        for section in sections:
            place = place[section]
        place[last] = value
    return CampaignConfig.model_validate(plain)


def trial_numbers(
    shot: Arrays, rest: Sequence[Arrays], tiles: Arrays | None = None
) -> dict[str, Any]:
    """Numbers of one boundary, whose best known structures are the lowest of all that was tried.

    Args:
        rest: arrays of the rivals and of the loops, in the order of the tasks.
        tiles: [n] and energies of the best known structures of a smaller cell, which are known in
            this one as well.
    """
    tried = {MODEL: shot, FRESH: rest[0], REGISTRIES: rest[1]}
    traces = rest[NUM_RIVALS:]
    half = len(traces) // 2
    known = lowest_of([shot, *rest, *([] if tiles is None else [tiles])])
    return {
        "lowest_tile_j_m2": None if tiles is None else float(tiles["gb_energy_j_m2"].min()),
        "lowest_known_j_m2": {
            f"{fraction:.4g}": float(energy)
            for fraction, energy in zip(known["n_fraction"], known["gb_energy_j_m2"], strict=True)
        },
        "methods": {method: method_numbers(rows, known) for method, rows in tried.items()},
        "rates": rate_numbers(tried, known),
        "loops": loop_numbers(
            {WITHOUT: traces[:half], WITH: traces[half:]}, float(known["gb_energy_j_m2"].min())
        ),
    }
