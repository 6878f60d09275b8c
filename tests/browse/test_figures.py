"""The figure of energy against [n]."""

from dataclasses import replace

import matplotlib
import numpy as np
import pytest

from gcd_hpc.browse.figure_kinds import energy_cap
from gcd_hpc.browse.figures import egb_vs_n, plot_egb_vs_n
from gcd_hpc.errors import StoreError
from gcd_hpc.store.parts import write_part
from gcd_hpc.store.run import open_run
from tests.store.synthetic import make_candidate

MAGIC = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


@pytest.mark.parametrize("suffix", MAGIC)
def test_the_suffix_chooses_the_format(results, tmp_path, suffix):
    path = plot_egb_vs_n(results, tmp_path / f"egb_vs_n{suffix}")
    assert path.read_bytes().startswith(MAGIC[suffix])


def test_axes_legend_and_note_say_what_is_shown(results, tmp_path):
    write_part(
        results.path / "parts/search/part-00001.h5",
        [make_candidate(50, gb_energy_j_m2=9.0, num_atoms=32)],
        {},
    )
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        text = plot_egb_vs_n(open_run(results.path), tmp_path / "figure.svg").read_text()
    for words in (
        "[n]",
        "GB energy (J/m",
        "search (7)",
        "diffusion model (8)",
        "3 of 15 above 3.32",
    ):
        assert words in text


def test_exploration_has_its_own_colour_and_its_in_painting_counts_as_the_models(tmp_path):
    rows = [make_candidate(0), make_candidate(1, "model", 1)]
    rows += [
        replace(make_candidate(index, "explore"), move=move, version=version)
        for index, (move, version) in enumerate([("insert", 0), ("shake", 0), ("inpaint", 1)])
    ]
    write_part(tmp_path / "one.h5", rows, {})
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        text = plot_egb_vs_n(open_run(tmp_path / "one.h5"), tmp_path / "figure.svg").read_text()
    for words in ("search (1)", "exploration (2)", "model and in-painting moves (2)"):
        assert words in text


def test_the_legend_of_three_groups_of_thousands_fits_into_the_figure(tmp_path):
    rows = [make_candidate(0), make_candidate(1, "model", 1), make_candidate(2, "explore")]
    rows.append(replace(make_candidate(3, "explore"), move="inpaint-window", version=1))
    write_part(tmp_path / "one.h5", rows, {})
    figure = egb_vs_n(open_run(tmp_path / "one.h5"))
    legend = figure.axes[0].get_legend()
    for text in legend.get_texts():
        text.set_text(text.get_text().replace("(1)", "(12,345)").replace("(2)", "(12,345)"))
    figure.canvas.draw()
    box = legend.get_window_extent()
    assert 0 <= box.x0 < box.x1 <= figure.bbox.width


def test_points_and_lines_of_all_groups_stand_at_their_n(tmp_path):
    rows = [make_candidate(index, num_atoms=30 + index % 3) for index in range(9)]
    rows += [make_candidate(i, "model", 1, num_atoms=30 + i % 3) for i in range(9)]
    rows += [make_candidate(i, "explore", num_atoms=30 + i % 3) for i in range(9)]
    write_part(tmp_path / "one.h5", rows, {})
    relaxed = open_run(tmp_path / "one.h5").relaxed().columns(["n_fraction"])["n_fraction"]
    known = np.unique(relaxed)
    (axes,) = egb_vs_n(open_run(tmp_path / "one.h5")).axes
    assert len(axes.collections) == len(axes.lines) == 3
    for line in axes.lines:
        assert np.isin(line.get_xdata(), known).all()
    step = np.diff(known).min()
    for cloud in axes.collections:
        beside = cloud.get_offsets()[:, 0] - known[:, None]  # (n, points)
        nearest = np.abs(beside).argmin(axis=0)
        shifts = np.take_along_axis(beside, nearest[None], axis=0)[0]
        assert np.abs(shifts).max() < step / 4, "a column touches its neighbour's"
        assert shifts.min() < 0 < shifts.max(), "a column lies at one side of its [n]"


@pytest.mark.parametrize("source", ["search", "explore", "model"])
def test_one_source_and_one_n_are_enough(tmp_path, source):
    write_part(tmp_path / "one.h5", [make_candidate(0, source, int(source == "model"))], {})
    assert plot_egb_vs_n(open_run(tmp_path / "one.h5"), tmp_path / "one.png").stat().st_size > 1000


def test_the_best_of_every_n_lies_below_the_cap():
    n_fraction = np.array([0.0, 0.0, 0.1, 0.1, 0.2])
    energy = np.array([3.4, 9.0, 2.3, 30.0, 2.9])
    assert 3.4 < energy_cap(n_fraction, energy) < 4.5


def test_an_unknown_suffix_is_refused(results, tmp_path):
    with pytest.raises(
        StoreError,
        match=r"figure\.bmp: a figure cannot be written with \.bmp; end its name in one of",
    ):
        plot_egb_vs_n(results, tmp_path / "figure.bmp")


def test_a_run_without_candidates_is_refused_and_leaves_no_file(empty, tmp_path):
    with pytest.raises(StoreError, match="nothing to draw: there are no relaxed candidates"):
        plot_egb_vs_n(empty, tmp_path / "figure.png")
    assert [path.name for path in tmp_path.iterdir()] == ["parts"]
