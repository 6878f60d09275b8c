"""Every figure by its name: what it shows, and what it says when there is nothing to show."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import matplotlib
import numpy as np
import psutil
import pytest
from matplotlib.figure import Figure

import gcd_hpc
from gcd_hpc.browse.campaign_figures import finds
from gcd_hpc.browse.figure_kinds import OF_MATERIAL, What
from gcd_hpc.browse.plots import draw, plot
from gcd_hpc.browse.timeline import at_work, work_of
from gcd_hpc.campaign.events import Finished
from gcd_hpc.campaign.ledger import Ledger
from gcd_hpc.config.loader import dump, load_campaign
from gcd_hpc.errors import GcdError, RunDirectoryError, StoreError
from gcd_hpc.stages.plan import Plan
from gcd_hpc.store.crystal import unit_crystal
from gcd_hpc.store.index import RunStore
from gcd_hpc.store.parts import write_part
from gcd_hpc.store.run import open_run
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.structures.frame import Frame
from tests.browse.test_figures import MAGIC
from tests.campaign.histories import failed, finished, opened, state_after, submitted
from tests.store.synthetic import make_candidate
from tests.structures.boundaries import W_TWIST

OF_BOUNDARY = [what for what in get_args(What) if what not in OF_MATERIAL]
CONFIG = {"config": dump(load_campaign(Path(__file__).parents[2] / "campaigns" / "smoke.yaml"))}
FRAME = Frame.build(W_TWIST, (25.0, 25.0), 70.0)
OPENED = opened(Plan(num_search_chunks=2, num_sample_chunks=1, rounds=1))


def done(task: str, elapsed_s: float, started: float, seconds: float, cores: int = 1) -> Finished:
    return replace(finished(task, elapsed_s, started=started, seconds=seconds), cores=cores)


def relaxed(index: int, source: str = "search", version: int = 0, **more):
    """A bicrystal with atoms of high energy at its boundary."""
    positions = FRAME.join((0.3 * index, 0.5, 0.4)).positions
    near = np.abs(positions[:, 2] - FRAME.centre) < 3
    values = {
        "unrelaxed_positions": positions,
        "positions": positions,
        "energies_ev": np.where(near, -8.5, -8.76),
        "cell": np.diag(FRAME.cell),
    }
    return make_candidate(
        index,
        source,
        version,
        len(positions),
        **(values | {"n_fraction": 0.2, "relax_s": 10.0, "sample_s": 0.0} | more),
    )


@pytest.fixture
def run(tmp_path) -> Path:
    """Two tries of the search, two candidates of a model (one failed), and a ledger."""
    folder = tmp_path / "run"
    searched = [
        relaxed(0, gb_energy_j_m2=2.9),
        relaxed(1, gb_energy_j_m2=2.7, n_index=4, n_fraction=0.4),
    ]
    made = [
        relaxed(0, "model", 1, gb_energy_j_m2=2.5, relax_s=30.0),
        make_candidate(1, "model", 1, status="failed", relax_s=10.0),
    ]
    write_part(folder / "parts/search/part-00000.h5", searched, CONFIG)
    write_part(folder / "parts/model-01/relaxed/part-00000.h5", made, CONFIG)
    events = [
        *(
            OPENED,
            submitted("search-00000"),
            done("search-00000", 21.0, 1000.5, 20.0),
        ),
        *(
            done("train-01", 141.5, 1021.0, 120.0, cores=2),
            failed("relax-01-00000", elapsed_s=145.0),
        ),
        *(done("sample-01", 150.0, 1141.0, 8.0), done("relax-01-00000", 200.5, 1160.0, 40.0)),
    ]
    with Ledger(folder) as ledger:
        for event in events:
            ledger.append(event)
    return folder


def words(run: Path, what: str, selection: str, folder: Path) -> str:
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        return plot(run, what, selection, folder / "figure.svg").read_text()


@pytest.mark.parametrize("what", OF_BOUNDARY)
def test_every_figure_is_drawn_and_lies_in_the_run_when_no_place_is_given(run, what):
    name = "egb_vs_n.png" if what == "egb-n" else f"{what}.png"
    assert plot(run, what) == run / name
    assert (run / name).read_bytes().startswith(MAGIC[".png"])


def test_a_figure_of_a_selection_does_not_take_the_place_of_the_runs_own(run):
    plot(run, "egb-n")
    whole = (run / "egb_vs_n.png").read_bytes()
    assert plot(run, "egb-n", "source=search") == run / "egb_vs_n_selected.png"
    assert (run / "egb_vs_n.png").read_bytes() == whole
    assert [path.name for path in sorted(run.glob("egb*"))] == [
        "egb_vs_n.png",
        "egb_vs_n_selected.png",
    ]


@pytest.mark.parametrize("what", [what for what in OF_BOUNDARY if what != "timeline"])
def test_a_single_file_is_enough_for_all_but_the_timeline(run, what):
    merged = RunStore(run).merge()
    assert plot(merged, what, "energy<3", run / "figure.pdf").read_bytes().startswith(MAGIC[".pdf"])


@pytest.mark.parametrize("what", OF_BOUNDARY)
def test_a_notebook_gets_figures_of_matplotlib_that_show_themselves(run, what):
    figure = gcd_hpc.plot(run, what)
    assert isinstance(figure, Figure)
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_a_notebook_draws_what_is_selected(run):
    chosen = gcd_hpc.open_run(run).select("source=search")
    labels = gcd_hpc.plot(chosen).axes[0].get_legend_handles_labels()[1]
    assert [label.split()[0] for label in labels] == ["search"]


def test_the_timeline_needs_a_ledger_and_no_selection(run, tmp_path):
    with pytest.raises(
        StoreError, match=r"results\.h5: the timeline cannot be drawn from a single file"
    ):
        draw(RunStore(run).merge(), "timeline")
    with pytest.raises(StoreError, match=r"timeline cannot be drawn of .*; leave out --select"):
        draw(run, "timeline", "n=0.2")
    with pytest.raises(RunDirectoryError, match=r"no events\.jsonl"):
        draw(tmp_path, "timeline")


@pytest.mark.parametrize("what", [what for what in OF_BOUNDARY if what != "timeline"])
def test_nothing_to_draw_is_one_sentence_and_leaves_no_file(run, what):
    before = sorted(run.rglob("*"))
    with pytest.raises(
        GcdError, match=r"nothing to draw: there are no relaxed candidates with n=0\.7"
    ):
        plot(run, what, "n=0.7")
    with pytest.raises(StoreError, match="selection: expected"):
        plot(run, what, "energy~3")
    with pytest.raises(StoreError, match="a figure cannot be written with"):
        plot(run, what, "", run / "figure.bmp")
    assert sorted(run.rglob("*")) == before


def test_progress_counts_core_seconds_with_training_before_the_model(run):
    found = finds(open_run(run))
    assert found.energy.tolist() == [2.9, 2.7, 2.5]
    assert found.source.tolist() == ["search", "search", "model"]
    # Search: 20 core-seconds shared by two; training: 240 before the model's; sampling and
    # relaxation: 48, of which three quarters.
    assert found.core_s == pytest.approx([10, 20, 20 + 240 + 36])
    assert found.total_s == pytest.approx(308)
    assert found.training == [pytest.approx((20, 260))]


def test_without_a_ledger_progress_counts_the_seconds_of_the_rows(run):
    found = finds(open_run(RunStore(run).merge()))
    assert found.core_s == pytest.approx([10, 20, 50])
    assert found.training == []


def test_progress_is_drawn_of_candidates_that_cost_nothing_as_far_as_is_known(tmp_path):
    write_part(tmp_path / "imported.h5", [relaxed(0, relax_s=np.nan)], CONFIG)
    assert finds(open_run(tmp_path / "imported.h5")).total_s == 0
    draw(tmp_path / "imported.h5", "progress")


def test_a_selection_chooses_finds_but_not_costs(run):
    found = finds(open_run(run), "source=model")
    assert (found.energy.tolist(), found.total_s) == ([2.5], pytest.approx(308))
    assert found.core_s == pytest.approx([20 + 240 + 36])


def test_progress_has_a_panel_for_each_n_and_a_mark_for_each_source(tmp_path):
    """More [n] and more moves than there are panels and known marks."""
    moves = ["insert", "remove", "exchange", "shake", "shift", "crossover", "fresh", "inpaint"]
    rows = [
        relaxed(n, gb_energy_j_m2=3.0 + n / 50, n_index=n, n_fraction=n / 20) for n in range(12)
    ]
    rows += [
        replace(
            relaxed(n, "explore", gb_energy_j_m2=2.9 + n / 50, n_index=n, n_fraction=n / 20),
            move=move,
            version=int(move == "inpaint"),
        )
        for n, move in enumerate(moves)
    ]
    write_part(tmp_path / "one.h5", rows, CONFIG)
    text = words(tmp_path / "one.h5", "progress", "", tmp_path)
    for expected in ("search", *moves, "[n] = 0.3: 3.020", "[n] = 0.45", "10 lowest of 12 [n]"):
        assert expected in text
    assert "[n] = 0.5" not in text


def test_figures_say_what_they_show(run, tmp_path):
    progress = words(run, "progress", "", tmp_path)
    for text in (
        "core-seconds of the whole campaign",
        "lowest GB energy so far (J/m",
        "[n] = 0.2: 2.500",
        "search",
        "model",
        "training",
    ):
        assert text in progress
    timeline = words(run, "timeline", "", tmp_path)
    for text in (
        "search",
        "train",
        "relax",
        "model 1",
        "4 core-min",
        "time of work (min); a full lane is 2 cores",
        "1 failed attempt",
    ):
        assert text in timeline
    registry = words(run, "registry", "n=0.2", tmp_path)
    for text in ("dx (Å)", "dy (Å)", "[n] = 0.2  (2)", "above the lowest", "of its [n] (J/m"):
        assert text in registry
    rdf = words(run, "rdf", "n=0.2", tmp_path)
    for text in (
        "distance r (Å)",
        "g(r)",
        "within 3 Å of the boundary plane",
        "the 2 lowest structures, 2.500 to 2.900",
    ):
        assert text in rdf


def test_the_timeline_is_on_the_clock_of_the_campaign_and_leaves_pauses_out():
    again = opened(OPENED.plan, 30.0)
    events = [
        OPENED,
        done("search-00000", 21.0, 1000.5, 20.0),
        again,
        done("search-00001", 52.0, 90005.0, 20.0),
    ]
    first, second = work_of(state_after(events))
    assert (first.begin, first.end) == (1.0, 21.0)
    assert (second.begin, second.end) == (32.0, 52.0)


def test_the_timeline_of_a_running_campaign_has_what_is_at_work(tmp_path):
    process = psutil.Process()
    begin = opened(OPENED.plan, 0.0, pid=process.pid, created=process.create_time(), time=1000.0)
    names = "search-00000", "search-00001", "train-01"
    events = [begin, replace(submitted(*names, elapsed_s=0.0), time=1000.0)]
    state = state_after(events)
    run = RunDirectory(tmp_path)
    run.begun("train-01").parent.mkdir()
    run.begun("train-01").write_text("1010.0 2")
    run.begun("search-00000").touch()  # of an older version
    (one,) = at_work(tmp_path, state, now=1060.0)
    assert (one.task.name, one.cores, one.is_at_work) == ("train-01", 2, True)
    assert (one.begin, one.end) == (10.0, 60.0)
    assert at_work(tmp_path, replace(state, paused=True), now=1060.0) == []


def test_work_that_a_killed_driver_did_not_note_ended_before_the_next_one():
    again = opened(OPENED.plan, 30.0)
    events = [
        OPENED,
        again,
        done("search-00000", 31.0, 1000.0, 20.0),
        done("search-00001", 52.0, 90001.0, 20.0),
    ]
    adopted, _ = work_of(state_after(events))
    assert (adopted.begin, adopted.end) == (10.0, 30.0)


def test_registries_are_drawn_in_the_cell_in_which_they_repeat(run):
    figure = draw(run, "registry", "n=0.2")
    assert "which repeat in 2.00 x 2.00 Å; n=0.2" in figure.get_suptitle()
    assert figure.axes[0].get_xlim() == pytest.approx((0, FRAME.cell[0, 0] / 5))


def test_without_a_known_boundary_registries_are_drawn_in_the_cell_of_the_candidates(results):
    assert unit_crystal(results.provenance.get("config")) is None
    assert draw(results.path, "registry").axes[0].get_xlim() == pytest.approx((0, 10.008))


def test_registries_of_a_rhomb_are_drawn_in_a_rhomb(tmp_path):
    rows = [
        relaxed(number, cell=(10.0, 8.0, 60.0), tilt_a=5.0, registry_relaxed=(x, y, 0.0))
        for number, (x, y) in enumerate([(6.0, 4.0), (16.0, 4.0), (11.0, 12.0)])
    ]
    write_part(tmp_path / "results.h5", rows, {"config": "name: of no boundary"})
    axes = draw(tmp_path / "results.h5", "registry").axes[0]
    assert (axes.get_xlim(), axes.get_ylim()) == ((0, 15.0), (0, 8.0))
    # All three differ by edges of the cell.
    assert np.allclose(axes.collections[0].get_offsets(), [6.0, 4.0])


def test_the_crystal_beside_the_boundary_has_the_distances_of_its_lattice(run):
    axes = draw(run, "rdf", "n=0.2").axes[0]
    vertices = axes.collections[0].get_paths()[0].vertices
    nearest = vertices[np.argmax(np.where(vertices[:, 0] < 2.95, vertices[:, 1], 0.0)), 0]
    assert nearest == pytest.approx(W_TWIST.nearest_neighbor, abs=0.03)


def test_structures_without_crystals_beside_the_boundary_are_refused(results):
    with pytest.raises(StoreError, match="nothing to draw: no structure has atoms at a boundary"):
        draw(results.path, "rdf")
