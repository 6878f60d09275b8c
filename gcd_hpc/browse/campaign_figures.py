"""Figure of a campaign's progress: lowest energy of each [n] against core-seconds."""

from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from gcd_hpc.accounts.sources import improves, spending_of
from gcd_hpc.browse.figures import COLOURS, GREY, need_some, new_figure
from gcd_hpc.browse.tables import format_fraction
from gcd_hpc.campaign.ledger import read_state
from gcd_hpc.stages.merit import NOTICEABLE_J_M2
from gcd_hpc.store.makers import MAKER_FIELDS, by_maker, groups, maker_names
from gcd_hpc.store.physics import RELAXED_FIELDS
from gcd_hpc.store.run import Run
from gcd_hpc.structures.energetics import lowest_energies

MAX_PANELS = 10
"""Largest number of [n] that the figure shows legibly."""
NUM_COLUMNS = 5
LONG_S = 36_000.0
"""Campaigns of more core-seconds get an axis in core-hours."""
LEAST_SPAN_J_M2, LARGEST_SPAN_J_M2 = 0.02, 0.5
"""Least and largest span of energies in a panel; higher ones are cut off."""
N_FIELDS = ("n_fraction", "atoms_per_plane")
MARKS = {
    "search": "o",
    "model": "*",
    "insert": "^",
    "remove": "v",
    "exchange": "D",
    "shake": "s",
    "shift": ">",
    "crossover": "X",
    "fresh": "o",
}
"""Marks of the search, the models and the moves without a model."""
OTHER_MARKS = ("P", "p", "h", "<", "8", "d")
"""Marks of further moves, in the order of their names."""


@dataclass(frozen=True)
class Mark:
    """Mark of one source: shape, colour of its face and of its edge."""

    shape: str
    face: str
    edge: str

    def style(self) -> dict[str, Any]:
        """Keywords of matplotlib's lines."""
        size = 7.5 if self.shape == "*" else 5.0
        return {
            "marker": self.shape,
            "markersize": size,
            "markerfacecolor": self.face,
            "markeredgecolor": self.edge,
            "markeredgewidth": 1.0,
        }


@dataclass(frozen=True)
class Finds:
    """Selected relaxed candidates in the order of their making, with the cost until then.

    n_index, n_fraction, energy in J/m^2, source (``search``, ``model`` or a kind of move), its
    group, core_s of the whole campaign until each of them, planes (N_plane, 0 if unknown): (M,).
    """

    n_index: np.ndarray
    n_fraction: np.ndarray
    energy: np.ndarray
    source: np.ndarray
    group: np.ndarray
    core_s: np.ndarray
    total_s: float
    """Core-seconds of the whole campaign."""
    training: list[tuple[float, float]]
    """Core-seconds between which each model was made."""
    planes: np.ndarray

    @property
    def exact_n(self) -> np.ndarray:
        """[n] as quotients, (M,), which are equal in runs whose in-plane cells differ."""
        quotients = self.n_index / np.maximum(self.planes, 1)
        return np.where(self.planes > 0, quotients, self.n_fraction)

    def first_near(self, n_fraction: float, energy: float) -> str:
        """Source of the first structure noticeably near an energy (J/m^2) at an ``exact_n``."""
        near = (self.exact_n == n_fraction) & (self.energy <= energy + NOTICEABLE_J_M2)
        return str(self.source[np.flatnonzero(near)[0]])


def finds(run: Run, selection: str = "") -> Finds:
    """Selected candidates with the core-seconds of the whole campaign until each of them.

    Args:
        run: all candidates of a run.
        selection: conditions of those to draw.

    Raises:
        StoreError: if the selection is wrong or holds no relaxed candidate.
        RunDirectoryError: if the ledger is damaged.
    """
    wanted = run.select(selection).relaxed()
    need_some(run.select(selection), len(wanted))
    spending = spending_of(run, read_state(run.path))
    chosen = np.isin(spending.order, wanted.numbers)
    columns = run[spending.order[chosen]].columns([*MAKER_FIELDS, *RELAXED_FIELDS, *N_FIELDS])
    until = spending.until()
    training = [
        (float(until[first] - spending.core_s[first] - seconds), seconds)
        for round, seconds in spending.training_s.items()
        if (first := int(np.searchsorted(spending.round, round))) < len(until)
    ]
    return Finds(
        columns["n_index"],
        columns["n_fraction"],
        columns["gb_energy_j_m2"],
        np.where(columns["source"] == "model", "model", maker_names(columns)),
        groups(columns),
        until[chosen],
        spending.total_s,
        [(begin, begin + seconds) for begin, seconds in training],
        columns["atoms_per_plane"],
    )


def progress(run: Run, selection: str = "") -> Figure:
    """Lowest energy so far of each [n] against core-seconds, one panel for each [n].

    A mark at each improvement shows the source that made it; grey bands are the training of models.

    Raises:
        GcdError: as ``finds``.
    """
    found = finds(run, selection)
    best = lowest_energies(found.n_index, found.energy)
    shown = sorted(sorted(best, key=lambda n: best[n])[:MAX_PANELS])
    num_columns = min(NUM_COLUMNS, len(shown))
    num_rows = -(-len(shown) // num_columns)
    figure = new_figure(max(4.4, 2.3 * num_columns), 0.9 + 2.1 * num_rows)
    panels = figure.subplots(num_rows, num_columns, sharex=True, squeeze=False).ravel()
    marks = _marks(found)
    scale, unit = (1.0, "core-seconds") if found.total_s < LONG_S else (3600.0, "core-hours")
    for axes, n_index in zip(panels, shown, strict=False):
        _draw_panel(axes, found, n_index, marks, scale)
    for axes in panels[len(shown) :]:
        axes.set_visible(False)
    figure.supxlabel(f"{unit} of the whole campaign (processor time)", fontsize=9)
    figure.supylabel("lowest GB energy so far (J/m$^2$)", fontsize=9)
    _explain_marks(figure, found, marks)
    if len(shown) < len(best):
        figure.suptitle(
            f"the {len(shown)} lowest of {len(best)} [n]",
            fontsize=8,
            color=GREY,
            x=0.99,
            ha="right",
        )
    return figure


def _marks(found: Finds) -> dict[str, Mark]:
    """Mark of each source that improved something."""
    relaxed = {"n_index": found.n_index, "gb_energy_j_m2": found.energy}
    steps = improves(relaxed)
    sources = dict(zip(found.source[steps].tolist(), found.group[steps].tolist(), strict=True))
    others = cycle(OTHER_MARKS)
    marks = {}
    for source in sorted(sources, key=by_maker):
        colour = COLOURS[sources[source]]
        shape = MARKS[source] if source in MARKS else next(others)
        marks[source] = Mark(shape, "white" if source == "search" else colour, colour)
    return marks


def _draw_panel(
    axes: Axes, found: Finds, n_index: int, marks: dict[str, Mark], scale: float
) -> None:
    """Draw the running minimum of one [n] as steps, with the mark of the source at each."""
    mine = found.n_index == n_index
    energy, spent = found.energy[mine], found.core_s[mine] / scale
    best, total = np.minimum.accumulate(energy), found.total_s / scale
    for begin, end in found.training:
        axes.axvspan(begin / scale, end / scale, color="#ececec", linewidth=0, zorder=0)
    axes.step(
        np.append(spent, total),
        np.append(best, best[-1]),
        where="post",
        color=GREY,
        linewidth=1.2,
        zorder=2,
    )
    steps = np.flatnonzero(improves({"n_index": found.n_index[mine], "gb_energy_j_m2": energy}))
    lowest = float(best[-1])
    span = float(np.clip(best[0] - lowest, LEAST_SPAN_J_M2, LARGEST_SPAN_J_M2))
    axes.set_ylim(lowest - 0.12 * span, lowest + 1.12 * span)
    for step in steps[best[steps] <= lowest + 1.12 * span].tolist():
        mark = marks[found.source[mine][step]]
        axes.plot(spent[step], best[step], **mark.style(), clip_on=False, zorder=3)
    axes.set_xlim(0, 1.03 * total or 1.0)
    name = format_fraction(float(found.n_fraction[mine][0]))
    axes.set_title(f"[n] = {name}: {lowest:.3f}", fontsize=8, loc="left")
    axes.tick_params(labelsize=7)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.spines[["top", "right"]].set_visible(False)


def _explain_marks(figure: Figure, found: Finds, marks: dict[str, Mark]) -> None:
    """Add a legend of the sources that improved something, and of the training."""
    handles: list[Line2D | Patch] = [
        Line2D([], [], linestyle="none", label=source, **mark.style())
        for source, mark in marks.items()
    ]
    if found.training:
        handles.append(Patch(color="#ececec", label="training"))
    columns = min(len(handles), 8 if len(figure.axes) >= NUM_COLUMNS else 4)
    figure.legend(
        handles=handles,
        loc="outside upper center",
        ncols=columns,
        frameon=False,
        fontsize=8,
        handletextpad=0.2,
        columnspacing=1.2,
    )
