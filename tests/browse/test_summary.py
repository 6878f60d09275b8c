"""The page that a campaign leaves behind."""

from io import StringIO

from rich.console import Console

from gcd_hpc.browse.figures import plot_egb_vs_n
from gcd_hpc.browse.summary import StageCost, cost_table, write_summary

TIMINGS = {
    "search": StageCost("search", 300.0, 600.0, 3000),
    "train": StageCost("train", 100.0, 200.0, 0),
}


def test_the_summary_has_sources_lowest_structures_and_costs(store):
    text = write_summary(store.path, TIMINGS).read_text()
    assert text.startswith("# test\n")
    assert "| 0.4 | - | - | **2.469** (2) |" in text
    assert "| 0.4 | 2.4690 | 34 | 0.350 | `model-02-000001` |" in text
    assert "| search | 3,000 | 300.0 | 600.0 | 0.2 | 75.0% |" in text
    assert "| all |  | 400.0 | 800.0 |  | 100.0% |" in text


def test_the_summary_shows_the_figure_only_if_there_is_one(store):
    assert "egb_vs_n.png" not in write_summary(store.path, TIMINGS).read_text()
    plot_egb_vs_n(store, store.path / "egb_vs_n.png")
    assert (
        "![GB energy against [n]](egb_vs_n.png)" in write_summary(store.path, TIMINGS).read_text()
    )


def test_the_summary_of_a_run_without_candidates_can_be_written(empty_store):
    assert (
        write_summary(empty_store.path, {}).read_text().startswith(f"# {empty_store.path.name}\n")
    )


def test_the_terminal_table_of_costs_has_a_line_for_all():
    console = Console(file=StringIO(), width=100)
    console.print(cost_table(TIMINGS))
    assert console.file.getvalue().splitlines()[-1].split() == ["all", "400.0", "800.0", "100.0%"]
