"""Transfer: what the built-in model gives on boundaries that it has not learned from.

The boundaries are those of ``campaigns/transfer``, some of them of metals that the model does not
know either. Its zero-shot candidates, at random registries and at those of a few tries without
dynamics, are compared with two rivals: fresh tries with dynamics, and tries without the model at
the same random registries. Two explorations begin with the same tries without dynamics; one of them
goes on with a few candidates at their registries and has the model's moves, the other has no model.
All of it is done in the cells of the files and in cells twice as long and twice as wide, where a
further rival is the lowest structure of the small cell, repeated.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from math import inf
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
    MODELS,
    RIVALS,
    WITH,
    WITHOUT,
    loop_numbers,
    lowest_of,
    medians,
    method_numbers,
    rate_numbers,
    target_of,
)
from gcd_hpc.experiments.transfer_tasks import loop, registries_only, zero_shot
from gcd_hpc.experiments.work import Arrays, Task, Workshop, core_s
from gcd_hpc.learning.model_file import load_model
from gcd_hpc.store.run_directory import RunDirectory

FRESH_FROM = 1_000_000
"""First index of the fresh tries, whose random streams differ from those of the loops."""
METHODS = (*MODELS, *RIVALS)
STILL = {"search.md.probability": 0.0}
"""Changes of a campaign whose tries have no dynamics."""
CHOOSING = {**STILL, "sampling.bootstrap_share": 1.0}
"""Changes of one whose candidates have the registries of such tries, as well."""
LOOP_CANDIDATES = 5
"""Candidates with which an exploration with the model begins."""


@dataclass(frozen=True)
class TransferBudget:
    """Amounts of sampling and exploration."""

    num_candidates: int
    """Zero-shot candidates of each boundary, and tries of each rival."""
    num_seeds: int
    """Explorations of each boundary with and without the model. Those of the first seed spend their
    budget, the others end at the lowest energy that was found before them.
    """
    loop_s: float
    """Core-seconds of each of them in the cells of the files; more in larger ones, by length."""
    cells: tuple[int, ...] = (1, 2)
    """In-plane cells, by how often those of the files are repeated along both edges; the smallest
    first.
    """
    metals: tuple[str, ...] = ("w", "fe", "ta", "cu", "al", "ni", "v", "ag", "pd")
    """Files of ``campaigns/transfer``."""
    names: tuple[str, ...] = ()
    """Boundaries to which a trial is restricted; all when there are none."""
    overrides: tuple[str, ...] = ()
    """Changes of the campaigns, as of ``--set``."""


QUICK = TransferBudget(20, 5, 20.0)
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
    trials = [
        Trial(workshop, budget, boundary, cells, config, file, card.sha256)
        for (boundary, cells), config in held_out(budget, workshop.seed).items()
    ]
    # The candidates come first, because a rival needs their registries; the loops of other seeds
    # come last, because they end at what was found before.
    first, *others = range(workshop.seed, workshop.seed + budget.num_seeds)
    shots = grouped(workshop, [trial.shots() for trial in trials])
    rest = grouped(workshop, [[*one.rivals(), *one.loops(first, -inf)] for one in trials])
    found = [[*some, *more] for some, more in zip(shots, rest, strict=True)]
    known = best_known(trials, found)
    for seed in others:
        loops = grouped(workshop, [one.loops(seed, target_of(known[one.name])) for one in trials])
        found = [[*some, *more] for some, more in zip(found, loops, strict=True)]
    boundaries = {
        trial.name: trial_numbers(
            some,
            trial.loop_s,
            known[trial.name],
            known.get(trial.boundary) if trial.cells > 1 else None,
        )
        for trial, some in zip(trials, found, strict=True)
    }
    metals = {symbol for one in card.boundaries for symbol in one.elements}
    numbers = {
        "model": {
            "sha256": card.sha256,
            "boundaries": [one.name for one in card.boundaries],
            "structures": card.num_structures,
            "hold_out_loss": card.validation_loss,
        },
        "boundaries": boundaries,
        "medians": group_medians(trials, boundaries, metals),
    }
    costs = {
        "zero-shot candidates": core_s(one for some in found for one in some[: len(MODELS)]),
        "rivals": core_s(one for some in found for one in some[len(MODELS) : len(METHODS)]),
        "loops": core_s(one for some in found for one in some[len(METHODS) :]),
    }
    return Outcome(numbers, costs, transfer_figure(numbers))


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
    """Tasks of one boundary in one in-plane cell, which prepare their run directories."""

    workshop: Workshop
    budget: TransferBudget
    boundary: str
    """Metal and boundary without the cell."""
    cells: int
    config: CampaignConfig
    model: Path
    """File of the model."""
    sha256: str
    """Hash of that file, for which run directories are named."""

    @property
    def name(self) -> str:
        """Metal, boundary and in-plane cell."""
        return self.config.name

    @property
    def loop_s(self) -> float:
        """Core-seconds of an exploration."""
        return self.budget.loop_s * self.cells

    @cached_property
    def given(self) -> CampaignConfig:
        """The campaign that starts from the model."""
        starting = self.config.model_copy(update={"model": str(self.model.resolve())})
        return with_model(starting, Path(), self.name)

    @cached_property
    def sampled(self) -> Path:
        """Run directory of the candidates at random registries."""
        return self.opened("zero-shot", self.given, {"search.num_tries": 0})

    def opened(self, what: str, base: CampaignConfig, changes: Mapping[str, Any]) -> Path:
        """Run directory of a campaign of as many candidates, for one of the tasks."""
        wanted = {"sampling.num_candidates": self.budget.num_candidates, **changes}
        stem = f"{self.name}-{what}"
        if base.model is None:
            return open_run(self.workshop.work, stem, changed(base, wanted))
        run = open_run(self.workshop.work, f"{stem}-{self.sha256[:8]}", changed(base, wanted))
        copied(self.model, RunDirectory(run).model_file(0))
        return run

    def shots(self) -> list[Task]:
        """Candidates of the model at random registries, and at those of tries."""
        chosen = self.opened("chosen", self.given, CHOOSING)
        return [
            Task(f"{self.name}-zero-shot", zero_shot, (self.sampled,)),
            Task(f"{self.name}-chosen", zero_shot, (chosen,)),
        ]

    def rivals(self) -> list[Task]:
        """Fresh tries, and tries at the random registries of the candidates."""
        fresh = self.opened("fresh", self.config, {})
        last = FRESH_FROM + self.budget.num_candidates
        return [
            Task(f"{self.name}-fresh", search_more, (fresh, FRESH_FROM, last, 1.0)),
            Task(f"{self.name}-registries", registries_only, (self.sampled,)),
        ]

    def loops(self, seed: int, stop_j_m2: float) -> list[Task]:
        """Exploration without the model and with it, until an energy is reached."""
        few = {**CHOOSING, "sampling.num_candidates": LOOP_CANDIDATES}
        return [
            Task(f"{self.name}-{label}-{seed}", loop, (run, self.loop_s, stop_j_m2))
            for label, base, changes in (
                ("without", self.config, STILL),
                ("with", self.given, few),
            )
            for run in [self.opened(f"{label}-{seed}", base, {"seed": seed, **changes})]
        ]


def grouped(workshop: Workshop, tasks: Sequence[Sequence[Task]]) -> list[list[Arrays]]:
    """Run the tasks of all trials; the arrays of each trial."""
    results = iter(workshop.run([task for some in tasks for task in some]))
    return [list(islice(results, len(some))) for some in tasks]


def best_known(trials: Sequence[Trial], tried: Sequence[Sequence[Arrays]]) -> dict[str, Arrays]:
    """[n] and energies of the lowest structures of each trial, by its name.

    Those of a boundary's smaller cell are known in the larger one as well.
    """
    known: dict[str, Arrays] = {}
    for trial, rows in zip(trials, tried, strict=True):
        tiles = [known[trial.boundary]] if trial.boundary in known else []
        known[trial.name] = lowest_of([*rows, *tiles])
    return known


def group_medians(
    trials: Sequence[Trial], boundaries: Mapping[str, Any], metals: Set[str]
) -> dict[str, Any]:
    """Medians over the boundaries of each cell, apart for metals that the model does not know."""
    groups: dict[str, list[Any]] = {}
    for trial in trials:
        is_known = set(trial.config.boundary.symbols) <= metals
        group = size_name(trial.cells) + ("" if is_known else ", other metals")
        groups.setdefault(group, []).append(boundaries[trial.name])
    return {group: medians(rows) for group, rows in groups.items()}


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
    found: Sequence[Arrays], loop_s: float, known: Arrays, tiles: Arrays | None = None
) -> dict[str, Any]:
    """Numbers of one boundary.

    Args:
        found: arrays of the METHODS, then of the explorations without and with the model in turn.
        loop_s: core-seconds of an exploration.
        known: [n] and energies of the best known structures.
        tiles: those of a smaller cell.
    """
    tried, traces = dict(zip(METHODS, found, strict=False)), found[len(METHODS) :]
    return {
        "lowest_tile_j_m2": None if tiles is None else float(tiles["gb_energy_j_m2"].min()),
        "lowest_known_j_m2": {
            f"{fraction:.4g}": float(energy)
            for fraction, energy in zip(known["n_fraction"], known["gb_energy_j_m2"], strict=True)
        },
        "methods": {method: method_numbers(rows, known) for method, rows in tried.items()},
        "rates": rate_numbers(tried, known),
        "loops": loop_numbers({WITHOUT: traces[::2], WITH: traces[1::2]}, target_of(known), loop_s),
    }
