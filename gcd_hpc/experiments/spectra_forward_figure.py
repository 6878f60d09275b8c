"""Figure k1: spectra of held-out atoms, of held-out frames, and errors beside the baselines'."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gcd_hpc.experiments.carbon_data import Frame
from gcd_hpc.experiments.colours import BLUE, GREEN, GREY, ORANGE, RED, SKY

Array = NDArray[np.float64]

# Okabe and Ito's colours: of densities, and of the network and the baselines.
FOLD_COLOURS = (BLUE, SKY, GREEN, ORANGE, RED)
BARS = {
    "network": RED,
    "training mean": "#BBBBBB",
    "own mean": GREY,
    "coordination": SKY,
    "density": BLUE,
}
LEAKING = "0.8"
ROWS, COLUMNS = 4, 6


@dataclass(frozen=True)
class Shown:
    """Held-out frames of a fold, the predicted spectra (F, N, K) and the errors."""

    frames: Sequence[Frame]
    predicted: Array
    errors: dict[str, Any]

    @property
    def true(self) -> Array:
        """Spectra (F, N, K)."""
        return np.stack([frame.spectra for frame in self.frames])


def forward_figure(folds: dict[str, Shown], main: str, leaking: str) -> Figure:
    """The whole figure.

    Args:
        main: fold whose atoms are shown.
        leaking: fold that is drawn in grey.
    """
    figure = Figure(figsize=(14.0, 8.4), layout="constrained")
    halves = figure.add_gridspec(1, 2, width_ratios=(1.15, 1.0))
    left, right = figure.add_subfigure(halves[0]), figure.add_subfigure(halves[1])
    _draw_atoms(left.subplots(ROWS, COLUMNS, sharex=True, sharey=True), folds[main])
    left.suptitle(
        f"24 atoms of {main} g/cm$^3$, held out, from the smallest to the largest error",
        fontsize=10,
    )
    left.supxlabel("bin (about 0.4 eV)", fontsize=9)
    left.supylabel("absorption (arb.)", fontsize=9)
    rows = right.add_gridspec(2, 1)
    top, bottom = right.add_subfigure(rows[0]), right.add_subfigure(rows[1])
    _draw_parity(top.subplots(), folds, leaking)
    of_atoms, of_means = bottom.subplots(1, 2)
    _draw_bars(of_atoms, folds, leaking, "atom_rmse", "RMSE of atoms")
    _draw_bars(of_means, folds, leaking, "mean_rmse", "RMSE of frames' means")
    of_means.legend(fontsize=7, frameon=False)
    return figure


def _draw_atoms(panels: Any, shown: Shown) -> None:
    """Predicted and true spectra of atoms at equal steps of the rank of their errors."""
    true, predicted = (
        values.reshape(-1, values.shape[-1]) for values in (shown.true, shown.predicted)
    )
    ranked = np.argsort(np.square(predicted - true).mean(axis=1))
    chosen = ranked[np.linspace(0, len(ranked) - 1, ROWS * COLUMNS).round().astype(int)]
    for axes, atom in zip(panels.flat, chosen, strict=True):
        axes.plot(true[atom], color="black", linewidth=1.0, label="true")
        axes.plot(
            predicted[atom], color=BARS["network"], linewidth=1.0, linestyle="--", label="predicted"
        )
        axes.tick_params(labelsize=7)
    panels.flat[0].legend(fontsize=6, frameon=False, loc="upper left")


def _draw_parity(axes: Axes, folds: dict[str, Shown], leaking: str) -> None:
    """Mean spectra of the held-out frames, every bin a point."""
    honest = [name for name in folds if name != leaking]
    for name, colour in zip(honest, FOLD_COLOURS, strict=True):
        shown = folds[name]
        axes.plot(
            shown.true.mean(axis=1).ravel(),
            shown.predicted.mean(axis=1).ravel(),
            linestyle="",
            marker=".",
            markersize=2.5,
            color=colour,
            label=f"{name} g/cm$^3$ left out: {shown.errors['network']['mean_rmse']:.3f}",
        )
    ends = axes.get_xlim()
    axes.plot(ends, ends, color="black", linewidth=0.6)
    axes.set(
        xlabel="true mean spectrum of a frame",
        ylabel="predicted",
        title="mean spectra of held-out frames",
    )
    axes.legend(fontsize=7, frameon=False, title="RMSE", title_fontsize=7)


def _draw_bars(axes: Axes, folds: dict[str, Shown], leaking: str, key: str, title: str) -> None:
    width = 0.8 / len(BARS)
    for number, (kind, colour) in enumerate(BARS.items()):
        for place, (name, shown) in enumerate(folds.items()):
            errors = shown.errors
            value = (errors["network"] if kind == "network" else errors["baselines"][kind])[key]
            is_leaking = name == leaking
            axes.bar(
                place + (number - 2) * width,
                value,
                width,
                color=LEAKING if is_leaking else colour,
                edgecolor=colour if is_leaking else "none",
                linewidth=0.8,
                label=kind if place == 0 else None,
            )
    labels = ["paper\n(leaks)" if name == leaking else name for name in folds]
    axes.set_xticks(range(len(folds)), labels, fontsize=7)
    axes.set(title=title, xlabel="density left out (g/cm$^3$)")
    axes.tick_params(axis="y", labelsize=7)
