"""Figure of boundary energy against [n], and parts shared by all figures of a run."""

from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gcd_hpc.browse.figure_kinds import energy_cap
from gcd_hpc.errors import StoreError
from gcd_hpc.files import output
from gcd_hpc.store.checksums import Columns
from gcd_hpc.store.makers import GROUPS, MAKER_FIELDS, Group, groups
from gcd_hpc.store.run import Run
from gcd_hpc.structures.energetics import lowest_of_each

BLUE = "#1f5fa8"
RED = "#c8322b"
GREEN = "#2a8c4a"
COLOURS: dict[Group, str] = {"search": BLUE, "exploration": GREEN, "model": RED}
GREY = "#555555"
SUFFIXES = (".png", ".svg", ".pdf")
CLOUD_WIDTH = 0.24
"""Half the width of the column of points around an [n], in steps of [n]."""
CLOUD_MARKS: dict[Group, str] = {"search": "o", "exploration": "D", "model": "o"}
LEGEND: dict[str, float] = {
    "columnspacing": 1.2,
    "fontsize": 9,
    "handlelength": 1.6,
    "handletextpad": 0.5,
}
"""Spacing of a legend that has room for three groups."""
HULL_MARKS: dict[Group, tuple[str, float, float]] = {
    "search": ("o", 9.0, 1.4),
    "exploration": ("D", 6.0, 2.6),
    "model": ("o", 3.5, 1.2),
}
"""Mark of the best of each [n], its size, and the width of the line through them.

Later groups are smaller, so that all stay visible where they coincide.
"""
MAX_POINTS = 3000
"""Largest number of points in one cloud that SVG and PDF draw as vectors."""


def plot_egb_vs_n(run: Run, path: str | Path) -> Path:
    """Draw ``egb_vs_n`` to a file.

    Raises:
        StoreError: if the suffix is not .png, .svg or .pdf, or if nothing was relaxed yet.
    """
    path = Path(path)
    check_suffix(path)
    return save(egb_vs_n(run), path)


def check_suffix(path: Path) -> None:
    """Raise StoreError for a suffix that is not one of SUFFIXES."""
    if path.suffix.lower() not in SUFFIXES:
        raise StoreError(
            f"{path}: a figure cannot be written with {path.suffix or 'no suffix'}; end its name in"
            f" one of {', '.join(SUFFIXES)}"
        )


def save(figure: Figure, path: Path) -> Path:
    """Write a figure atomically in the format of the suffix; return the path."""
    with output(path) as temporary:
        figure.savefig(temporary)
    return path


class ShownFigure(Figure):
    """Figure that a notebook shows without pyplot."""

    def _repr_png_(self) -> bytes:
        picture = BytesIO()
        self.savefig(picture, dpi=100, format="png")
        return picture.getvalue()


def new_figure(width: float = 6.4, height: float = 4.6) -> Figure:
    """Empty figure of a size in inches that needs no display."""
    figure = ShownFigure(figsize=(width, height), dpi=200, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def egb_vs_n(run: Run) -> Figure:
    """Energy of every relaxed boundary against its [n], as in Fig. 6 of the paper.

    The search is blue, the exploration green, the models are red with the in-painting moves of the
    exploration. Energies above ``energy_cap`` are counted in a note.

    Raises:
        StoreError: if nothing that is selected was relaxed yet.
    """
    columns = relaxed_columns(run, *MAKER_FIELDS)
    n_fraction = columns["n_fraction"]
    energy = columns["gb_energy_j_m2"]
    group = groups(columns)
    cap = energy_cap(n_fraction, energy)
    figure = new_figure()
    axes = figure.add_subplot()
    step = _smallest_step(n_fraction)
    paints = bool(np.any((columns["source"] == "explore") & (group == "model")))
    titles = {"model": "model and in-painting moves" if paints else "diffusion model"}
    # Clouds and lines of all groups stand at their [n].
    for one in GROUPS:
        mine = group == one
        if not mine.any():
            continue
        _draw_cloud(axes, n_fraction[mine], energy[mine], cap, step, one)
        label = f"{titles.get(one, one)} ({int(mine.sum()):,})"
        _draw_hull(axes, n_fraction[mine], energy[mine], cap, one, label)
    _label(axes, n_fraction, step, energy, cap)
    return figure


def relaxed_columns(run: Run, *names: str) -> Columns:
    """Columns of ``Run.relaxed``, (M, ...): the named ones, n_fraction and gb_energy_j_m2.

    Raises:
        StoreError: if nothing that is selected was relaxed yet.
    """
    relaxed = run.relaxed()
    need_some(run, len(relaxed))
    return relaxed.columns([*names, "n_fraction", "gb_energy_j_m2"])


def need_some(run: Run, num: int) -> None:
    """Raise StoreError if there is nothing to draw."""
    if not num:
        among = f" with {run.selection}" if run.selection else ""
        raise StoreError(f"{run.path}: nothing to draw: there are no relaxed candidates{among}")


def _smallest_step(n_fraction: np.ndarray) -> float:
    steps = np.diff(np.unique(n_fraction))
    return float(steps.min()) if len(steps) else 0.1


def _draw_cloud(
    axes: Axes, n_fraction: np.ndarray, energy: np.ndarray, cap: float, step: float, group: Group
) -> None:
    """Draw all energies in a column around their [n], jittered in width to separate points."""
    shown = energy <= cap
    # Each group draws from a stream of its own, so that equal energies do not hide each other.
    stream = np.random.default_rng(GROUPS.index(group))
    spread = stream.uniform(-CLOUD_WIDTH, CLOUD_WIDTH, len(energy)) * step
    colour = COLOURS[group]
    axes.scatter(
        (n_fraction + spread)[shown],
        energy[shown],
        s=9 if group != "exploration" else 5,
        marker=CLOUD_MARKS[group],
        facecolors="none" if group == "search" else colour,
        edgecolors=colour if group == "search" else "none",
        linewidths=0.5,
        alpha=float(np.clip(20 / np.sqrt(max(shown.sum(), 1)), 0.3, 0.8)),
        rasterized=bool(shown.sum() > MAX_POINTS),
        zorder=2,
    )


def _draw_hull(
    axes: Axes, n_fraction: np.ndarray, energy: np.ndarray, cap: float, group: Group, label: str
) -> None:
    """Draw the best of each [n] of one group."""
    best_n, best, _ = lowest_of_each(n_fraction, energy)
    below = best <= cap
    colour, (mark, size, width) = COLOURS[group], HULL_MARKS[group]
    (line,) = axes.plot(
        best_n[below],
        best[below],
        color=colour,
        linewidth=width,
        marker=mark,
        label=label,
        zorder=3 + GROUPS.index(group),
    )
    face = "white" if group == "search" else colour
    line.set(markersize=size, markerfacecolor=face, markeredgewidth=1.4)


def _label(axes: Axes, n_fraction: np.ndarray, step: float, energy: np.ndarray, cap: float) -> None:
    axes.set_xlabel("[n]")
    axes.set_ylabel("GB energy (J/m$^2$)")
    lowest, span = float(energy.min()), cap - float(energy.min())
    axes.set_ylim(lowest - 0.07 * span, cap + 0.02 * span)
    unique = np.unique(n_fraction)
    axes.set_xlim(unique.min() - 0.6 * step, unique.max() + 0.6 * step)
    if len(unique) <= 12:
        axes.set_xticks(unique, [f"{value:.3g}" for value in unique])
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False, **LEGEND)
    hidden = int(np.sum(energy > cap))
    if hidden:
        note = f"{hidden:,} of {len(energy):,} above {cap:.2f} J/m$^2$ not shown"
        axes.annotate(
            note,
            (1, 0),
            (0, 4),
            "axes fraction",
            textcoords="offset points",
            ha="right",
            va="bottom",
            fontsize=8,
            color=GREY,
        )
