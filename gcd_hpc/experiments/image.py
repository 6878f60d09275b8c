"""Boundaries from an image: simulated images of phases that the model was never shown.

A candidate is a hit in three ways, each of which implies the ones before: it has the [n] and the
energy of the phase; in one of its symmetric variants its projection is that of the structure in the
image; it is so as it lies.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.experiments.boundary import (
    QUICK,
    BoundaryBudget,
    base_config,
    count_chunks,
    model_config,
    search_data_set,
)
from gcd_hpc.experiments.boundary_numbers import (
    PHASES,
    TOLERANCE_J_M2,
    Phase,
    phase_hits,
)
from gcd_hpc.experiments.guided_tasks import (
    BLUR_A,
    NOISE,
    PIXEL_A,
    candidates,
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
from gcd_hpc.experiments.statistics import ratio, wilson
from gcd_hpc.experiments.work import Arrays, Task, Workshop
from gcd_hpc.learning.image_match import SAME
from gcd_hpc.structures.projection import Axis, write_image

NUM_GUIDED, NUM_UNGUIDED = 2, 5
"""Blocks of candidates for each image, and without one."""


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


VIEWS = tuple(View(phase, axis) for phase in reversed(PHASES) for axis in ("x", "y"))


def image(workshop: Workshop) -> Outcome:
    """Ask a model that saw neither phase for the structures that images of them show.

    It is the first model of fig6, of the quick budget's size also in the full one.
    """
    return study(workshop, QUICK, VIEWS, NUM_GUIDED, NUM_UNGUIDED)


def study(
    workshop: Workshop,
    budget: BoundaryBudget,
    views: Sequence[View],
    num_guided: int,
    num_unguided: int,
) -> Outcome:
    """Search, train, image, sample and relax; return the numbers and the figure."""
    base = base_config(workshop.seed, budget)
    searched, _ = search_data_set(workshop, base)
    config = model_config(base, workshop.seed, withheld=True)
    trained_run, trained = trained_model(workshop, searched, config, "withheld-0")
    images = [
        image_file(workshop, searched, count_chunks(base), view, number)
        for number, view in enumerate(views)
    ]
    runs = [
        run_of_view(workshop, config, trained_run, view, path)
        for view, path in zip(views, images, strict=True)
    ]
    amounts = {run: num_guided for run in runs} | {trained_run: num_unguided}
    costs, relaxed = candidates(workshop, amounts)
    placed = workshop.run([Task(f"placed-{run.name}", placement, (run,)) for run in runs])
    judged = {
        (run, other): judged_blocks(workshop, view, run, other, path, amounts[other])
        for view, run, path in zip(views, runs, images, strict=True)
        for other in (run, trained_run)
    }
    numbers: dict[str, Any] = {
        "image": {"pixel_a": PIXEL_A, "blur_a": BLUR_A, "noise": NOISE},
        "same_above": SAME,
        "views": {},
    }
    for view, run, where in zip(views, runs, placed, strict=True):
        kinds = {
            "guided": hits_of(relaxed[run], judged[run, run], view.phase),
            "unguided": hits_of(relaxed[trained_run], judged[run, trained_run], view.phase),
        }
        numbers["views"][view.name] = view_numbers(kinds, where)
    pictures = [
        pictures_of(judged[run, run], where) for run, where in zip(runs, placed, strict=True)
    ]
    costs = {"training": float(trained["core_s"]), **costs}
    return Outcome(numbers, costs, figure_of(numbers["views"], pictures, PIXEL_A))


def image_file(workshop: Workshop, searched: Path, num_chunks: int, view: View, seed: int) -> Path:
    """File of a simulated image of the lowest structure of a phase, and the same without noise."""
    folder = workshop.work / "images"
    path = folder / f"{view.axis}-{view.phase.n_fraction:g}-{workshop.seed}.npy"
    folder.mkdir(parents=True, exist_ok=True)
    phase = view.phase
    row = lowest_of_phase(searched, num_chunks, phase.n_fraction, phase.gb_energy_j_m2)
    clean = simulated(searched, row, view.axis)
    write_image(without_noise(path), clean)
    write_image(path, grey(clean, workshop.seed + seed))
    return path


def without_noise(path: Path) -> Path:
    """File of an image without noise, in atoms per Å^2."""
    return path.with_suffix(".clean.npy")


def run_of_view(
    workshop: Workshop, config: CampaignConfig, trained: Path, view: View, path: Path
) -> Path:
    """Run directory of candidates that are guided to an image."""
    name = f"image-{view.axis}-{view.phase.n_fraction:g}"
    terms = image_terms(path, view.axis)
    return guided_run(workshop.work, name, config, trained, terms)


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
        "atoms_in_the_image": placed["num_atoms"].tolist(),
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
