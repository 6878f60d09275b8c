"""Figure of a campaign's progress: lowest energies against relaxations and core-hours."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from gcd_hpc.browse.figures import BLUE, GREY, RED, energy_cap, need_some, new_figure
from gcd_hpc.browse.tables import format_fraction
from gcd_hpc.campaign.ledger import read_state
from gcd_hpc.store.checksums import Columns
from gcd_hpc.store.physics import RELAXED_FIELDS, is_relaxed
from gcd_hpc.store.run import Run
from gcd_hpc.structures.energetics import lowest_energies

MAX_LINES = 10
"""Largest number of [n] that the figure shows legibly."""
SHORT_H = 0.2
"""Campaigns of fewer core-hours get an axis in minutes."""
NAME_WIDTH = 0.06
"""Width of a model's name as a share of the axis."""
NOTICED_J_M2 = 1e-3
"""Smallest improvement that gets a mark, J/m^2."""
_FIELDS = (*RELAXED_FIELDS, "n_fraction", "source", "round", "sample_s", "relax_s")


@dataclass(frozen=True)
class Finds:
    """Relaxed candidates in the order of their making, with the cost until then.

    n_fraction, energy in J/m^2, round (0 is the search), relaxations, core_h: (M,).
    """

    n_fraction: np.ndarray
    energy: np.ndarray
    round: np.ndarray
    relaxations: np.ndarray
    core_h: np.ndarray
    num_relaxations: int
    """Number of relaxations of the whole campaign."""
    total_core_h: float
    has_training: bool
    """Whether the core-hours include training."""


def finds(run: Run, selection: str = "") -> Finds:
    """Selected candidates with the cost of the whole campaign until each of them.

    Core-hours come from the ledger; the training of a model counts before its first candidate. For
    a single file, which has no ledger, they are the sampling and relaxation times of its rows.

    Args:
        run: all candidates of a run.
        selection: conditions of those to draw.

    Raises:
        StoreError: if the selection is wrong or holds no relaxed candidate.
    """
    wanted = run.select(selection)
    columns = run.columns(_FIELDS)
    chosen = np.zeros(len(run), dtype=bool)
    chosen[wanted.numbers] = True
    columns["round"] = np.where(columns["source"] == "search", 0, columns["round"])
    order = np.argsort(columns["round"], kind="stable")
    columns, chosen = {name: values[order] for name, values in columns.items()}, chosen[order]
    relaxations = np.cumsum(np.isin(columns["status"], ("ok", "failed")))
    before, during = _core_s(run.path)
    core_h = _spent(columns, before, during) / 3600
    chosen &= is_relaxed(columns)
    need_some(wanted, int(chosen.sum()))
    return Finds(
        columns["n_fraction"][chosen],
        columns["gb_energy_j_m2"][chosen],
        columns["round"][chosen],
        relaxations[chosen],
        core_h[chosen],
        int(relaxations[-1]),
        float(core_h[-1]),
        bool(during),
    )


def _core_s(run: Path) -> tuple[dict[int, float], dict[int, float]]:
    """Core-seconds by round from the ledger: before its first candidate, and after."""
    before: dict[int, float] = defaultdict(float)
    during: dict[int, float] = defaultdict(float)
    state = read_state(run) if run.is_dir() else None
    for task, done in state.finished.items() if state is not None else ():
        is_training = task.stage in ("select", "train", "promote")
        (before if is_training else during)[task.round] += done.core_s
    return before, during


def _spent(columns: Columns, before: dict[int, float], during: dict[int, float]) -> np.ndarray:
    """Core-seconds spent when each candidate was done, (M,)."""
    seconds = np.nan_to_num(columns["relax_s"]) + np.nan_to_num(columns["sample_s"])
    for made_in in np.unique(columns["round"]).tolist():
        mine = np.flatnonzero(columns["round"] == made_in)
        total = seconds[mine].sum()
        if made_in in during and total > 0:
            seconds[mine] *= during[made_in] / total
        seconds[mine[0]] += before.get(made_in, 0.0)
    return np.cumsum(seconds)


def progress(run: Run, selection: str = "") -> Figure:
    """Lowest energy so far of each [n], against the number of relaxations and core-hours.

    Raises:
        GcdError: as ``finds`` and ``read_state``.
    """
    found = finds(run, selection)
    figure = new_figure(9.6, 4.8)
    left, right = figure.subplots(1, 2, sharey=True)
    best = lowest_energies(found.n_fraction, found.energy)
    shown = sorted(sorted(best, key=lambda n: best[n])[:MAX_LINES])
    energies = np.array([best[n] for n in shown])
    cap, lowest = energy_cap(np.array(shown), energies), float(energies.min())
    margin = 0.06 * (cap - lowest)
    left.set_ylim(lowest - margin, cap + margin)
    colours = dict(
        zip(shown, colormaps["viridis"](np.linspace(0.0, 0.82, len(shown))), strict=True)
    )
    per_hour, unit = (1, "core-hours") if found.total_core_h >= SHORT_H else (60, "core-minutes")
    for axes, spent, total in (
        (left, found.relaxations, found.num_relaxations),
        (right, found.core_h * per_hour, found.total_core_h * per_hour),
    ):
        _draw_panel(axes, found, spent, total, colours)
    left.set_xlabel("relaxations")
    left.xaxis.set_major_formatter("{x:,.0f}")
    left.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
    left.set_ylabel("lowest GB energy so far (J/m$^2$)")
    right.set_xlabel(unit if found.has_training else f"{unit} of sampling and relaxation")
    right.xaxis.set_major_locator(MaxNLocator(5))
    _label_ends(right, {f"[n] = {format_fraction(n)}": (best[n], colours[n]) for n in shown})
    if len(shown) < len(best):
        note = f"the {len(shown)} lowest of {len(best)} [n]"
        left.annotate(
            note,
            (1, 1),
            (-4, -4),
            "axes fraction",
            textcoords="offset points",
            ha="right",
            va="top",
            fontsize=8,
            color=GREY,
        )
    _explain_marks(figure, found)
    return figure


def _draw_panel(
    axes: Axes, found: Finds, spent: np.ndarray, total: float, colours: dict[float, np.ndarray]
) -> None:
    """The lines of all [n] that have a colour, against what was spent of a total."""
    for n_fraction, colour in colours.items():
        mine = found.n_fraction == n_fraction
        _draw_best(axes, spent[mine], found.energy[mine], found.round[mine], total, colour)
    _mark_rounds(axes, spent, found.round, total)
    axes.set_xlim(0, total or 1.0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)


def _draw_best(
    axes: Axes,
    spent: np.ndarray,
    energy: np.ndarray,
    round: np.ndarray,
    total: float,
    colour: np.ndarray,
) -> None:
    """Draw the running minimum as steps, with rings for improvements by the search, else dots."""
    best = np.minimum.accumulate(energy)
    fall = np.concatenate([[True], best[1:] < best[:-1]])
    axes.step(
        np.append(spent[fall], total),
        np.append(best[fall], best[-1]),
        where="post",
        color=colour,
        linewidth=1.6,
        zorder=2,
    )
    noticed = np.concatenate([[True], -np.diff(best) > NOTICED_J_M2])
    for mine, edge, face in ((round == 0, BLUE, "white"), (round > 0, RED, RED)):
        some = noticed & mine
        axes.scatter(
            spent[some],
            best[some],
            s=16,
            facecolors=face,
            edgecolors=edge,
            linewidths=0.9,
            zorder=3,
        )


def _mark_rounds(axes: Axes, spent: np.ndarray, round: np.ndarray, total: float) -> None:
    """Mark where the candidates of each round begin, with a name where there is room."""
    transform, free = axes.get_xaxis_transform(), -np.inf
    for number in np.unique(round).tolist():
        first = float(spent[round == number][0]) if number else 0.0
        axes.axvline(first, color=GREY, linewidth=0.7, linestyle=(0, (2, 3)), zorder=1)
        if first >= free:
            name = f"round {number}" if number else "search"
            axes.text(
                first,
                1.01,
                name,
                transform=transform,
                fontsize=8,
                color=GREY,
                ha="left",
                va="bottom",
                rotation=25,
            )
            free = first + NAME_WIDTH * total


def _label_ends(axes: Axes, labels: dict[str, tuple[float, np.ndarray]]) -> None:
    """Write names beside the ends of the lines, moved apart where they would overlap."""
    low, high = axes.get_ylim()
    apart, floor = 0.047 * (high - low), -np.inf
    for name, (height, colour) in sorted(labels.items(), key=lambda label: label[1][0]):
        floor = max(height, floor + apart)
        axes.annotate(
            name,
            (1, height),
            (1.04, floor),
            ("axes fraction", "data"),
            ("axes fraction", "data"),
            va="center",
            fontsize=8,
            color=colour,
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "linewidth": 0.6,
                "shrinkA": 0,
                "shrinkB": 0,
            },
        )  # fmt: skip


def _explain_marks(figure: Figure, found: Finds) -> None:
    """Add a legend of the kinds of marks that occur."""
    handles = []
    by_model = found.round > 0
    for mine, face, edge, who in (
        (~by_model, "white", BLUE, "the search"),
        (by_model, RED, RED, "a model"),
    ):
        if mine.any():
            mark = Line2D(
                [],
                [],
                linestyle="none",
                marker="o",
                markersize=4.5,
                markerfacecolor=face,
                markeredgecolor=edge,
            )
            mark.set_label(f"found by {who}")
            handles.append(mark)
    figure.legend(handles=handles, loc="outside upper center", ncols=2, frameon=False)
