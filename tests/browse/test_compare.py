"""Runs side by side: lowest energies, cost and sources; what cannot be compared is said."""

import json
import re

import pytest
from rich.console import Console

from gcd_hpc.browse.compare import compare, comparison_view
from gcd_hpc.browse.compare_figure import comparison_figure, plot_comparison
from gcd_hpc.browse.tables import json_text
from gcd_hpc.errors import StoreError
from gcd_hpc.store.run_directory import RunDirectory
from tests.browse.sets import make_set


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Two sets of the same boundaries; the second is 0.1 J/m^2 lower in the first boundary."""
    folder = tmp_path_factory.mktemp("compare")
    first = make_set(folder / "a")
    second = make_set(folder / "b", {"s5_310": 0.805, "s5_210": 0.94})
    return [RunDirectory(one) for one in (first, second)]


def text_of(found) -> str:
    console = Console(width=160, record=True, file=None, quiet=False)
    with console.capture() as shown:
        console.print(comparison_view(found))
    return shown.get()


def test_runs_of_one_boundary_are_compared_at_each_n(sets):
    runs = [run.member("s5_310").path for run in sets]
    found = compare(*runs)
    assert found.problem == ""
    assert [one.run for one in found.runs] == list(map(str, runs)), "folders of one name"
    assert [one.gb_energy_j_m2 for one in found.runs] == pytest.approx([0.905, 0.805])
    assert [found.num_lowest(one) for one in found.runs] == [0, len(found.lowest)]
    # Each of the four rows took two seconds; the lowest is the second.
    assert [(one.tries, one.core_s, one.core_s_until) for one in found.runs] == [(4, 8.0, 4.0)] * 2
    text = text_of(found)
    assert re.search(r"0\.9050 +search +0\.8050\* +search", text)
    assert re.search(r"0\.8050 .* 1 of 1 .*search 1", text)


def test_energies_within_a_millijoule_are_equally_low(sets):
    found = compare(*(run.member("s5_210").path for run in sets))
    assert [found.num_lowest(one) for one in found.runs] == [len(found.lowest)] * 2


def test_cost_and_sources_of_different_boundaries_are_shown_but_no_energies_compared(sets):
    found = compare(sets[0].member("s5_310").path, sets[0].member("s13_320").path)
    text = text_of(found)
    assert "s5_310 and s13_320: they are not of one boundary (boundary." in found.problem
    assert "Energies are not compared: " in text
    assert "gcd-hpc overview" in text
    assert "*" not in text
    assert text.count("8.0") >= 2
    record = json.loads(json_text(found.record()))
    assert record["is_comparable"] is False
    assert [run["num_lowest"] for run in record["runs"]] == [None, None]
    with pytest.raises(StoreError, match=r"cannot be drawn together: .*; leave --out out"):
        comparison_figure(found)


def test_one_run_has_nothing_to_be_compared_with(sets):
    with pytest.raises(StoreError, match="name two or more"):
        compare(sets[0].member("s5_310").path)


def test_records_hold_each_lowest_energy_and_its_source(sets):
    found = compare(*(run.member("s5_310").path for run in sets))
    record = json.loads(json_text(found.record()))
    assert record["is_comparable"] is True
    first = record["runs"][0]["per_n"]
    assert [one["source"] for one in first] == ["search"]
    assert min(one["gb_energy_j_m2"] for one in first) == pytest.approx(0.905)


def test_the_figure_has_hulls_progress_and_cost_of_each_run(sets, tmp_path):
    found = compare(*(run.member("s5_310").path for run in sets))
    hulls, progress, cost = comparison_figure(found).axes
    assert len(hulls.lines) == 2
    assert [len(line.get_xdata()) for line in hulls.lines] == [1, 1]
    reached = [float(line.get_ydata()[-1]) for line in progress.lines]
    assert reached == [0.0, 1.0, 1.0], "the first run never, the second once, with a mark"
    assert sum(bar.get_width() for bar in cost.patches) == pytest.approx(16.0)
    assert plot_comparison(found, tmp_path / "compare.svg").stat().st_size > 1000
