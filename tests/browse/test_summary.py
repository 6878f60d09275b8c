"""The page that a campaign leaves behind."""

from io import StringIO

from rich.console import Console

from gcd_hpc.accounts.cost import Cost, StageCost
from gcd_hpc.accounts.sources import sources_of
from gcd_hpc.browse.figures import plot_egb_vs_n
from gcd_hpc.browse.summary import cost_table, write_summary

COST = Cost(
    {"search": StageCost(60, 300.0, 600.0, 3000), "train": StageCost(1, 100.0, 200.0, 0)},
    elapsed_s=420.0,
    overhead_s=20.0,
)


def test_the_summary_has_sources_lowest_structures_and_costs(results):
    text = write_summary(results.path, COST, sources_of(results, None)).read_text()
    assert text.startswith("# test\n")
    assert "| 0.4 | - | - | **2.469** (2) |" in text
    assert "| 0.4 | 2.4690 | 34 | 0.350 | `model-02-000001` | model 02 |" in text
    assert "| search | 7 | 0.0 | 6 | 6 | 0.2 0.3 |" in text
    assert "| all | 17 | 0.0 |" in text
    assert "| search | 3,000 | 300.0 | 600.0 | 0.2 | 75.0% |" in text
    assert "| all |  | 420.0 | 800.0 |  | 100.0% |" in text


def test_the_summary_shows_the_figure_only_if_there_is_one(results):
    sources = sources_of(results, None)
    assert "egb_vs_n.png" not in write_summary(results.path, COST, sources).read_text()
    plot_egb_vs_n(results, results.path / "egb_vs_n.png")
    text = write_summary(results.path, COST, sources).read_text()
    assert "![GB energy against [n]](egb_vs_n.png)" in text


def test_the_summary_of_a_run_without_candidates_can_be_written(empty):
    path = write_summary(empty.path, Cost({}, 0.0, 0.0), sources_of(empty, None))
    assert path.read_text().startswith(f"# {empty.path.name}\n")


def test_the_terminal_table_of_costs_has_a_line_for_all():
    console = Console(file=StringIO(), width=100)
    console.print(cost_table(COST))
    assert console.file.getvalue().splitlines()[-1].split() == ["all", "420.0", "800.0", "100.0%"]
