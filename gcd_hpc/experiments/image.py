"""Boundaries from an image: simulated images of phases that the model was never shown.

A candidate is a hit in three ways, each of which implies the ones before: it has the [n] and the
energy of the phase; in one of its symmetric variants its projection is that of the structure in the
image; it is so as it lies.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gcd_hpc.accounts.rates import wilson
from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.starting import BUILTIN, BUILTIN_FILE, with_model
from gcd_hpc.experiments.boundary import (
    QUICK,
    BoundaryBudget,
    base_config,
    count_chunks,
    model_config,
    search_data_set,
    shares,
)
from gcd_hpc.experiments.boundary_numbers import (
    PHASES,
    TOLERANCE_J_M2,
    Phase,
    joined,
    phase_hits,
)
from gcd_hpc.experiments.boundary_tasks import search_chunks
from gcd_hpc.experiments.guided_tasks import (
    BLUR_A,
    NOISE,
    PIXEL_A,
    candidates,
    given_model,
    grey,
    guided_run,
    image_terms,
    judged_block,
    lowest_of_phase,
    placement,
    simulated,
    trained_model,
)
from gcd_hpc.experiments.image_figures import figure_of
from gcd_hpc.experiments.outcome import Outcome
from gcd_hpc.experiments.runs import open_run
from gcd_hpc.experiments.statistics import ratio
from gcd_hpc.experiments.transfer import QUICK as TRANSFER
from gcd_hpc.experiments.transfer import changed, held_out
from gcd_hpc.experiments.work import Arrays, Task, Workshop
from gcd_hpc.learning.image_match import SAME
from gcd_hpc.structures.projection import Axis, write_image

NUM_GUIDED, NUM_UNGUIDED = 2, 5
"""Blocks of candidates for each image, and without one."""
GUIDED_BLOCK = 10
"""Candidates of a block of an image, which are sampled together."""
AXES: tuple[Axis, ...] = ("x", "y")
OTHER_BLOCK = 20
"""Candidates of a block of the built-in model without an image."""
OUTSIDE, OUTSIDE_NAME = "Fe_s9_221", "Fe Σ9 (221)"
"""A boundary of ``campaigns/transfer``, which the built-in model has not learned from."""
NUM_TRIES, NUM_STEPS = 100, 12
"""Tries of the search for its lowest structure, and steps of a solver."""


@dataclass(frozen=True)
class View:
    """A structure in an image."""

    phase: Phase
    axis: Axis
    """Line of sight."""

    @property
    def name(self) -> str:
        """Name in numbers and figures."""
        return f"{self.phase.name} along {self.axis}"


VIEWS = tuple(View(phase, axis) for phase in reversed(PHASES) for axis in AXES)


@dataclass(frozen=True)
class Subject:
    """A boundary, a model, and what is to be shown of the boundary to the model."""

    config: CampaignConfig
    searched: Path
    """Run directory of a search that holds the structures."""
    num_chunks: int
    trained: Path
    """Run directory of the model, and of its candidates without an image."""
    views: Sequence[View]


def image(workshop: Workshop) -> Outcome:
    """Ask models for the structures that images of them show.

    The first model of fig6 saw neither phase of its boundary. It is of the quick budget's size also
    in the full one. The built-in model saw nothing of the other boundary.
    """
    withheld, training_s = withheld_subject(workshop, QUICK, VIEWS)
    outside, search_s = outside_subject(workshop)
    costs = {"training": training_s, "search of the other boundary": search_s}
    return study(workshop, [withheld, outside], costs, NUM_GUIDED, NUM_UNGUIDED)


def withheld_subject(
    workshop: Workshop, budget: BoundaryBudget, views: Sequence[View]
) -> tuple[Subject, float]:
    """The boundary of fig6 and the first of its models, and the core-seconds of its training."""
    base = base_config(workshop.seed, budget)
    searched, _ = search_data_set(workshop, base)
    config = model_config(base, workshop.seed, withheld=True)
    run, trained = trained_model(workshop, searched, config, "withheld-0")
    return Subject(config, searched, count_chunks(base), run, views), float(trained["core_s"])


def outside_subject(workshop: Workshop) -> tuple[Subject, float]:
    """A boundary that the built-in model has not learned from.

    Its phase is the lowest structure of a search, whose core-seconds are returned too.
    """
    only = replace(TRANSFER, names=(OUTSIDE,), cells=(1,), metals=(OUTSIDE.split("_")[0].lower(),))
    ((_, base),) = held_out(only, workshop.seed).items()
    changes = {
        "search.num_tries": NUM_TRIES,
        "sampling.num_candidates": NUM_UNGUIDED * OTHER_BLOCK,
        "sampling.chunk_size": OTHER_BLOCK,
        "sampling.batch_size": GUIDED_BLOCK,
        "sampling.num_steps": NUM_STEPS,
        "model": None,  # the run is given the model's file as that of its first round
    }
    given = with_model(base.model_copy(update={"model": BUILTIN}), Path(), base.name)
    config = changed(given, changes)
    searched = open_run(workshop.work, f"{OUTSIDE}-search", config)
    num = count_chunks(config)
    found = workshop.run(
        [
            Task(f"{OUTSIDE}-search-{first}", search_chunks, (searched, first, last))
            for first, last in shares(0, num)
        ]
    )
    rows = joined(found)
    best = int(np.where(rows["status"] == "ok", rows["gb_energy_j_m2"], np.inf).argmin())
    phase = Phase(
        OUTSIDE_NAME, float(rows["n_fraction"][best]), float(rows["gb_energy_j_m2"][best])
    )
    run = given_model(workshop.work, searched, config, f"{OUTSIDE}-builtin", BUILTIN_FILE)
    return Subject(config, searched, num, run, [View(phase, AXES[0])]), float(rows["core_s"])


def study(
    workshop: Workshop,
    subjects: Sequence[Subject],
    costs: Mapping[str, float],
    num_guided: int,
    num_unguided: int,
) -> Outcome:
    """Image, sample and relax; return the numbers and the figure.

    Args:
        costs: core-seconds of what was done before.
    """
    shown = [
        (subject, view, image_file(workshop, subject, view, number))
        for subject in subjects
        for number, view in enumerate(subject.views)
    ]
    runs = [run_of_view(workshop, subject, view, path, num_guided) for subject, view, path in shown]
    amounts = dict.fromkeys(runs, num_guided)
    amounts |= {subject.trained: num_unguided for subject in subjects}
    spent, relaxed = candidates(workshop, amounts)
    placed = workshop.run([Task(f"placed-{run.name}", placement, (run,)) for run in runs])
    views, pictures = {}, []
    for run, (subject, view, path), where in zip(runs, shown, placed, strict=True):
        blocks = {
            kind: judged_blocks(workshop, view, run, other, path, amounts[other])
            for kind, other in (("guided", run), ("unguided", subject.trained))
        }
        kinds = {
            "guided": hits_of(relaxed[run], blocks["guided"], view.phase),
            "unguided": hits_of(relaxed[subject.trained], blocks["unguided"], view.phase),
        }
        views[view.name] = view_numbers(kinds, where)
        pictures.append(pictures_of(blocks["guided"], where))
    numbers = {
        "image": {"pixel_a": PIXEL_A, "blur_a": BLUR_A, "noise": NOISE},
        "same_above": SAME,
        "views": views,
    }
    return Outcome(numbers, {**costs, **spent}, figure_of(views, pictures, PIXEL_A))


def image_file(workshop: Workshop, subject: Subject, view: View, seed: int) -> Path:
    """File of a simulated image of the lowest structure of a phase, and the same without noise."""
    folder = workshop.work / "images"
    stem = f"{subject.config.name}-{view.axis}-{view.phase.n_fraction:.3g}-{workshop.seed}"
    path = folder / f"{stem}.npy"
    folder.mkdir(parents=True, exist_ok=True)
    phase = view.phase
    row = lowest_of_phase(
        subject.searched, subject.num_chunks, phase.n_fraction, phase.gb_energy_j_m2
    )
    clean = simulated(subject.searched, row, view.axis)
    write_image(without_noise(path), clean)
    write_image(path, grey(clean, workshop.seed + seed))
    return path


def without_noise(path: Path) -> Path:
    """File of an image without noise, in atoms per Å^2."""
    return path.with_suffix(".clean.npy")


def run_of_view(
    workshop: Workshop, subject: Subject, view: View, path: Path, num_blocks: int
) -> Path:
    """Run directory of candidates that are guided to an image."""
    size = min(GUIDED_BLOCK, subject.config.sampling.chunk_size)
    changes = {
        "sampling.num_candidates": num_blocks * size,
        "sampling.chunk_size": size,
        "sampling.batch_size": min(subject.config.sampling.batch_size, size),
    }
    config, terms = changed(subject.config, changes), image_terms(path, view.axis)
    return guided_run(workshop.work, f"image-{path.stem}", config, subject.trained, terms)


def judged_blocks(
    workshop: Workshop, view: View, run: Path, other: Path, path: Path, num_blocks: int
) -> list[Arrays]:
    """The candidates of a run, compared with the image of another or of the same one."""
    phase = view.phase.n_fraction, view.phase.gb_energy_j_m2
    clean = without_noise(path)
    return workshop.run(
        [
            Task(
                f"judged-{run.name}-{other.name}-{block}",
                judged_block,
                (other, block, run, clean, phase, TOLERANCE_J_M2),
            )
            for block in range(num_blocks)
        ]
    )


def hits_of(relaxed: Arrays, judged: Sequence[Arrays], phase: Phase) -> dict[str, Any]:
    """Candidates, and how many of them are hits by each judge, with intervals."""
    num = len(relaxed["status"])
    is_phase = phase_hits(relaxed, phase)
    seen = {
        name: np.concatenate([one[name] for one in judged]) for name in ("turned", "as_it_lies")
    }
    counts = {"phase": int(is_phase.sum())} | {
        name: int((is_phase & (values > SAME)).sum()) for name, values in seen.items()
    }
    rates = {name: wilson(count, num) for name, count in counts.items()}
    return {
        "candidates": num,
        "refused_or_failed": int((relaxed["status"] != "ok").sum()),
        "with_its_n": int(np.isclose(relaxed["n_fraction"], phase.n_fraction).sum()),
        "hits": counts,
        "share": {name: rate.value for name, rate in rates.items()},
        "wilson_95": {name: [rate.low, rate.high] for name, rate in rates.items()},
    }


def view_numbers(kinds: dict[str, dict[str, Any]], placed: Arrays) -> dict[str, Any]:
    """Shares with and without an image, their ratio, and what the image says by itself."""
    times = {}
    for judge in kinds["guided"]["hits"]:
        one, other = (wilson(kind["hits"][judge], kind["candidates"]) for kind in kinds.values())
        estimate = ratio(one, other)
        times[judge] = [estimate.value, estimate.low, estimate.high]
    return {
        **kinds,
        "times_the_unguided_share": times,
        "correlation_of_the_grains": float(placed["correlation"]),
        "atoms_in_the_image": int(placed["num_atoms"]),
        "shares_of_n": placed["shares"].tolist(),
    }


def pictures_of(judged: Sequence[Arrays], placed: Arrays) -> dict[str, np.ndarray]:
    """The image, and the candidate that resembles it most, (H, W) each."""
    best = max(judged, key=lambda one: np.nanmax(one["as_it_lies"], initial=0.0))
    return {
        "image": placed["density"],
        "best candidate, generated": best["generated"],
        "the same, relaxed": best["relaxed"],
    }
