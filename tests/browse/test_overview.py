"""The overview of many boundaries: rows, table, comparison with a list, figure."""

import json

import numpy as np
import pytest

import gcd_hpc
from gcd_hpc.browse.figures import new_figure
from gcd_hpc.browse.labels import place_labels
from gcd_hpc.browse.overview import overview, overview_remarks
from gcd_hpc.browse.overview_figure import overview_figure, plot_overview
from gcd_hpc.errors import GcdError, StoreError
from gcd_hpc.store.run_directory import RunDirectory
from tests.browse.sets import LOWEST, NOT_BEGUN, make_set

LIST = "plane,sigma,upper_bound_j_m2\n2 1 0,5,0.951\n3 1 0,5,0.900\n7 2 0,53,0.939\n"


@pytest.fixture(scope="module")
def tilts(tmp_path_factory):
    return make_set(tmp_path_factory.mktemp("set"))


@pytest.fixture
def reference(tmp_path):
    (tmp_path / "list.csv").write_text(LIST)
    return tmp_path / "list.csv"


def test_each_boundary_has_a_row_by_kind_axis_and_angle(tilts):
    rows = overview(tilts).rows
    assert [row.boundary for row in rows] == ["s5_310", "s5_210", "s13_320", NOT_BEGUN]
    assert [round(row.misorientation_deg, 2) for row in rows] == [36.87, 53.13, 67.38, 36.87]
    assert [row.title for row in rows] == ["Σ5(310)", "Σ5(210)", "Σ13(320)", "Σ5(001)"]
    assert {row.boundary: row.gb_energy_j_m2 for row in rows[:3]} == LOWEST
    assert [row.tries for row in rows] == [4, 4, 4, 0]
    assert rows[1].atoms_per_plane == 4
    assert rows[0].area_a2 == pytest.approx(3.615**2 * np.sqrt(10) / 2)


def test_a_boundary_that_has_not_begun_is_said_to_be_so(tilts):
    row = overview(tilts).rows[-1]
    assert (row.boundary, row.status, row.id) == (NOT_BEGUN, "not begun", "")
    assert np.isnan(row.gb_energy_j_m2)


def test_single_runs_make_the_rows_of_the_set_that_they_are_members_of(tilts):
    members = [tilts / "boundaries" / name for name in LOWEST]
    assert overview(*members).rows == overview(tilts).rows[:3]


def test_a_member_that_cannot_be_read_has_a_row_that_says_so_and_the_others_are_shown(tmp_path):
    run = RunDirectory(make_set(tmp_path))
    run.member("s5_210").search_part(0).write_bytes(b"torn")
    run.member("s5_310").ledger.write_text("torn\n")
    found = overview(run.path)
    rows = {row.boundary: row for row in found.rows}
    assert rows["s5_210"].status == rows["s5_310"].status == "cannot be read"
    assert rows["s13_320"].gb_energy_j_m2 == LOWEST["s13_320"]
    assert f"s5_210: {run.member('s5_210').search_part(0)}" in overview_remarks(found)
    with pytest.raises(GcdError):
        overview(run.member("s5_210").path)


def test_boundaries_of_equal_names_are_told_apart_by_their_folders(tilts, tmp_path):
    again = make_set(tmp_path / "again")
    again = again.rename(tmp_path / "again" / "second")
    names = {row.boundary for row in overview(tilts, again).rows}
    assert {"run/s5_210", "second/s5_210"} < names


def test_energies_are_compared_with_those_of_a_list(tilts, reference):
    rows = {row.boundary: row for row in overview(tilts, reference=reference).rows}
    assert rows["s5_210"].above_j_m2 == pytest.approx(-0.011)
    assert rows["s5_310"].above_j_m2 == pytest.approx(0.005)
    assert np.isnan(rows["s13_320"].reference_j_m2)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("plane,energy\n2 1 0,0.9\n", "_j_m2"),
        ("plane,e_j_m2\n2 1,0.9\n", "line 2"),
        ("plane,e_j_m2\n2 1 0,low\n", "line 2"),
        ("kind,e_j_m2\ntwist,0.9\n", "line 2"),
        ("plane,e_j_m2\n7 2 0,0.9\n", "none of the 1 boundaries"),
        (None, "cannot be read"),
    ],
)
def test_a_list_that_cannot_be_compared_is_refused(tilts, tmp_path, text, problem):
    path = tmp_path / "list.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(StoreError, match=problem):
        overview(tilts, reference=path)


def test_a_list_without_elements_is_refused_where_there_are_several(tilts, reference, tmp_path):
    text = "element,axis,kind,angle_deg,e_j_m2\nCu,0 0 1,twist,36.87,0.7\nNi,,,53.13,1.2\n"
    reference.write_text(text)
    found = overview(tilts, reference=reference)
    known = {row.boundary: row.reference_j_m2 for row in found.rows}
    # The line of nickel is not compared with copper.
    assert np.isnan(known["s5_210"]) and known[NOT_BEGUN] == 0.7
    reference.write_text(LIST)
    other = make_set(tmp_path / "ni")
    for path in (other / "campaign.yaml", *other.glob("boundaries/*/campaign.yaml")):
        path.write_text(path.read_text().replace("element: Cu", "element: Ni"))
    for part in other.glob("boundaries/*/parts"):
        part.rename(part.parent / "gone")
    with pytest.raises(StoreError, match="column element"):
        overview(tilts, other, reference=reference)


def test_records_are_json_and_a_table(tilts, reference):
    from gcd_hpc.browse.tables import json_text

    plain = json.loads(json_text(overview(tilts).records()))
    assert plain[1]["plane"] == [2, 1, 0] and "reference_j_m2" not in plain[1]
    assert [energy for _, energy in plain[0]["per_n"]] == pytest.approx([0.905])
    pytest.importorskip("pandas")
    table = gcd_hpc.overview(tilts, reference=reference).to_dataframe()
    assert table.loc["s5_210", "reference_j_m2"] == 0.951


def test_the_figure_has_a_panel_for_each_axis_and_kind_and_labels_the_cusps(tilts, reference):
    figure = overview_figure(overview(tilts, reference=reference))
    (panel,) = [axes for axes in figure.axes if axes.get_visible()]
    assert panel.get_title(loc="left") == "symmetric tilt about <001>"
    written = {text.get_text() for text in panel.texts}
    assert written == {"Σ5(310)", "Σ5(210)", "Σ13(320)"}
    crosses = [line for line in panel.lines if line.get_marker() == "x"]
    assert sorted(crosses[0].get_ydata()) == [0.9, 0.939, 0.951]


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_the_figure_is_written_in_each_format(tilts, tmp_path, suffix):
    assert plot_overview(overview(tilts), tmp_path / f"o{suffix}").stat().st_size > 4000


def test_nothing_is_drawn_without_relaxed_candidates(tmp_path):
    with pytest.raises(StoreError, match="nothing to draw"):
        overview_figure(overview(make_set(tmp_path, {})))


def test_labels_cover_neither_each_other_nor_the_points():
    figure = new_figure(6, 4)
    axes = figure.add_subplot()
    rng = np.random.default_rng(0)
    points = rng.uniform(size=(40, 2))
    axes.plot(*points.T, "o")
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    left_out = place_labels(axes, points, [f"Σ{i}(210)" for i in range(40)], points)
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) + len(left_out) == 40 and len(boxes) > 25
    assert not any(one.overlaps(two) for i, one in enumerate(boxes) for two in boxes[:i])
    places = axes.transData.transform(points)
    assert not any(box.contains(*place) for box in boxes for place in places)
