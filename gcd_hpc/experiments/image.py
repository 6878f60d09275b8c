"""Boundaries from an image: simulated images of phases that the model was never shown."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gcd_hpc.experiments.boundary import (
    QUICK,
    BoundaryBudget,
    base_config,
    count_chunks,
    model_config,
    search_data_set,
)
from gcd_hpc.experiments.boundary_numbers import PHASES, Phase, phase_hits
from gcd_hpc.experiments.guided_tasks import (
    BLUR_A,
    NOISE,
    PIXEL_A,
    best_match,
    candidates,
    guided_run,
    image_terms,
    lowest_of_phase,
    placement,
    simulated,
    trained_model,
)
from gcd_hpc.experiments.outcome import Outcome
from gcd_hpc.experiments.statistics import ratio, wilson
from gcd_hpc.experiments.work import Arrays, Task, Workshop
from gcd_hpc.structures.projection import Axis, write_image

NUM_GUIDED, NUM_UNGUIDED = 4, 5
"""Blocks of candidates for each image, and without one."""
AXIS: Axis = "x"
BLUE, RED = "#0072B2", "#D55E00"
LABELS = {"guided": "with its image", "unguided": "without"}
LOWEST_RATE = 3e-4
"""Value at which rates of zero are drawn."""


def image(workshop: Workshop) -> Outcome:
    """Ask a model that saw neither phase for the structures that images of them show.

    It is the first model of fig6, of the quick budget's size also in the full one.
    """
    return study(workshop, QUICK, NUM_GUIDED, NUM_UNGUIDED)


def study(
    workshop: Workshop, budget: BoundaryBudget, num_guided: int, num_unguided: int
) -> Outcome:
    """Search, train, image, sample and relax; return the numbers and the figure."""
    base = base_config(workshop.seed, budget)
    searched, _ = search_data_set(workshop, base)
    config = model_config(base, workshop.seed, withheld=True)
    trained_run, trained = trained_model(workshop, searched, config, "withheld-0")
    runs: list[Path] = []
    for number, phase in enumerate(PHASES):
        chosen = phase.n_fraction, phase.gb_energy_j_m2
        row = lowest_of_phase(searched, count_chunks(base), *chosen)
        path = workshop.work / f"images/phase-{number}-{workshop.seed}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, simulated(searched, row, AXIS, workshop.seed + number))
        terms = image_terms(path, AXIS)
        runs.append(guided_run(workshop.work, f"image-{number}", config, trained_run, terms))
    amounts = {run: num_guided for run in runs} | {trained_run: num_unguided}
    costs, relaxed = candidates(workshop, amounts)
    placed = workshop.run([Task(f"placed-{run.name}", placement, (run,)) for run in runs])
    matches = workshop.run(
        [
            Task(f"match-{run.name}", best_match, (run, num_guided, phase.n_fraction))
            for run, phase in zip(runs, PHASES, strict=True)
        ]
    )
    numbers = {
        "image": {"pixel_a": PIXEL_A, "blur_a": BLUR_A, "noise": NOISE, "axis": AXIS},
        "phases": {
            phase.name: phase_numbers(phase, relaxed[run], relaxed[trained_run], where)
            for phase, run, where in zip(PHASES, runs, placed, strict=True)
        },
    }
    costs = {"training": float(trained["core_s"]), **costs}
    return Outcome(numbers, costs, figure_of(numbers, placed, matches))


def phase_numbers(phase: Phase, guided: Arrays, unguided: Arrays, placed: Arrays) -> dict[str, Any]:
    """Shares of the phase with and without its image, and what the image says by itself."""
    rates, hits = {}, {}
    for kind, arrays in (("guided", guided), ("unguided", unguided)):
        found = int(phase_hits(arrays, phase).sum())
        rates[kind] = wilson(found, len(arrays["status"]))
        hits[kind] = {
            "hits": found,
            "candidates": len(arrays["status"]),
            "refused_or_failed": int((arrays["status"] != "ok").sum()),
            "share": rates[kind].value,
            "wilson_95": [rates[kind].low, rates[kind].high],
            "with_its_n": int(np.isclose(arrays["n_fraction"], phase.n_fraction).sum()),
        }
    times = ratio(rates["guided"], rates["unguided"])
    return {
        **hits,
        "times_the_unguided_share": [times.value, times.low, times.high],
        "correlation_of_the_grains": float(placed["correlation"]),
        "atoms_in_the_image": placed["num_atoms"].tolist(),
        "shares_of_n": placed["shares"].tolist(),
    }


def figure_of(numbers: dict[str, Any], placed: list[Arrays], matches: list[Arrays]) -> Figure:
    """A row of images and candidates for each phase, and the shares of all."""
    figure = Figure(figsize=(9.5, 6.2), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(3, 2), squeeze=False)[0]
    axes = left.subplots(len(PHASES), 3, squeeze=False)
    for row, phase, where, match in zip(axes, PHASES, placed, matches, strict=True):
        pictures = {
            f"image of {phase.name}": where["density"],
            "best candidate, generated": match["generated"],
            "the same, relaxed": match["relaxed"],
        }
        for one, (title, picture) in zip(row, pictures.items(), strict=True):
            one.imshow(picture, cmap="gray", extent=extent_of(picture), vmin=0, vmax=1.6)
            one.set_title(title, fontsize=8)
            one.tick_params(labelsize=6)
    axes[-1][0].set_xlabel("y (Å)", fontsize=7)
    draw_rates(right.subplots(), numbers["phases"])
    return figure


def extent_of(picture: np.ndarray) -> tuple[float, float, float, float]:
    """Edges of an image, Å."""
    height, width = (PIXEL_A * number for number in picture.shape)
    return 0.0, width, 0.0, height


def draw_rates(axes: Axes, phases: dict[str, Any]) -> None:
    """Share of each phase among candidates with and without its image."""
    for number, one in enumerate(phases.values()):
        for offset, kind, colour in ((-0.17, "unguided", BLUE), (0.17, "guided", RED)):
            share, (low, high) = one[kind]["share"], one[kind]["wilson_95"]
            axes.errorbar(
                number + offset,
                max(share, LOWEST_RATE),
                yerr=[[max(share, LOWEST_RATE) - max(low, LOWEST_RATE / 2)], [high - share]],
                fmt="o",
                color=colour,
                capsize=3,
                label=LABELS[kind] if number == 0 else None,
            )
            axes.annotate(
                f"{one[kind]['hits']} of {one[kind]['candidates']}",
                (number + offset, high),
                (0, 5),
                textcoords="offset points",
                ha="center",
                fontsize=7,
            )
    axes.set_yscale("log")
    axes.set_xticks(range(len(phases)), list(phases))
    axes.set(
        ylabel="share of the phase among candidates",
        xlim=(-0.6, len(phases) - 0.4),
        ylim=(1e-4, 1.5),
    )
    axes.legend(fontsize=8, loc="lower right")
