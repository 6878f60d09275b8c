"""The figure of the boundary's phases: panels, frames and what lies over the data."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from gcd_hpc.experiments.boundary_figures import boundary_figure


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def rows(rng, num):
    n_index = rng.integers(0, 10, num)
    return {
        "n_fraction": n_index / 10,
        "gb_energy_j_m2": 2.4 + rng.exponential(0.4, num),
        "status": np.full(num, "ok"),
    }


def found(rng, phases):
    """Structures of some phases, atoms of 36 Å of crystal with one disturbed plane."""
    arrays = {
        "cell": np.array([10.0, 10.0, 60.0]),
        "phase": np.array(phases),
        "gb_energy_j_m2": np.full(len(phases), 2.3),
    }
    for number in phases:
        positions = rng.uniform((0, 0, -18), (10, 10, 18), (200, 3))
        arrays[f"positions-{number}"] = positions
        arrays[f"energies-{number}"] = np.where(np.abs(positions[:, 2]) < 4, 0.4, 0.0)
    return arrays


def method(hits):
    one = {"rate": hits / 100, "hits": hits, "wilson_95": [hits / 200, hits / 90 + 0.01]}
    return {"tries": 100, "phases": {"[1/5]": one, "[2/5]": one}}


def drawn(rng, phases, num_methods=3, withheld=(2.6, 2.8)):
    methods = {f"method {number}": method(number) for number in range(num_methods)}
    numbers = {"withheld_j_m2": withheld, "methods": methods}
    figure = boundary_figure(numbers, rows(rng, 300), rows(rng, 300), [found(rng, phases)], 0.0)
    FigureCanvasAgg(figure).draw()
    panels = {}
    for axes in figure.axes:
        letters = [text.get_text() for text in axes.texts if text.get_text().startswith("(")]
        panels |= {letter: axes for letter in letters}
    return figure, panels


@pytest.mark.parametrize("phases", [(), (0,), (1,), (0, 1)])
def test_panels_have_letters_and_phases_frames_of_one_size(rng, phases):
    _, panels = drawn(rng, list(phases))
    assert sorted(panels) == ["(a)", "(b)", "(c)", "(d)"]
    sizes = [panels[letter].get_window_extent() for letter in ("(b)", "(c)")]
    assert sizes[0].width == pytest.approx(sizes[1].width, abs=1)
    assert sizes[0].height == pytest.approx(sizes[1].height, abs=1)
    titles = [panels[letter].get_title() for letter in ("(b)", "(c)")]
    for number, title in enumerate(titles):
        assert ("not found" in title) == (number not in phases)


@pytest.mark.parametrize("num_methods", [3, 7])
@pytest.mark.parametrize("withheld", [None, (2.6, 2.8)])
def test_legends_and_letters_lie_on_no_data_and_on_nothing_else(rng, num_methods, withheld):
    figure, panels = drawn(rng, [0], num_methods, withheld)
    for letter, axes in panels.items():
        frame = axes.get_window_extent()
        (label,) = [text for text in axes.texts if text.get_text() == letter]
        above = [label.get_window_extent()]
        if (legend := axes.get_legend()) is not None:
            above.append(legend.get_window_extent())
        if axes.get_title():
            above.append(axes.title.get_window_extent())
        for number, box in enumerate(above):
            # A legend's extent includes the space below its words: 5 px.
            assert box.y0 >= frame.y1 - 5
            assert 0 <= box.x0 < box.x1 <= figure.bbox.width
            assert not any(box.overlaps(other) for other in above[:number])
