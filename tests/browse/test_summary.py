"""The page that a campaign leaves behind."""

from io import StringIO

from rich.console import Console

from gcd_hpc.accounts.cost import Cost, StageCost
from gcd_hpc.accounts.sources import sources_of
from gcd_hpc.browse.ending import write_report
from gcd_hpc.browse.figures import plot_egb_vs_n
from gcd_hpc.browse.material_summary import write_material_summary
from gcd_hpc.browse.summary import cost_table, write_summary
from gcd_hpc.campaign.state import State
from gcd_hpc.config.loader import load_material
from gcd_hpc.config.site import SiteConfig
from gcd_hpc.stages.plan import Plan
from gcd_hpc.store.run import open_run
from gcd_hpc.workers.allocation import resolve
from tests.material_run import write_material_run

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


def test_the_summary_of_a_material_has_errors_pairs_energies_and_costs(tmp_path):
    run = open_run(write_material_run(tmp_path))
    text = write_material_summary(run, COST, []).read_text()
    assert text.startswith("# small_carbon\n")
    assert "| 1 | guided | 4 | 0 | 0.0550 ± 0.0205 | 0.0400 | -6.78" in text
    assert "| 2 | unguided | 3 | 1 | 0.1300 ± 0.1271 | 0.1200 |" in text
    assert "| all | 4 | -0.0850 ± " in text
    assert "| `model-02-000002` | guided | 0.0200 ± 0.0100 | -6.78" in text
    assert "| 2.00 | 2 | -6.79" in text and "| 3.00 | 2 | -6.84" in text
    assert "| search | 3,000 | 300.0 | 600.0 | 0.2 | 75.0% |" in text
    assert ".png" not in text


def test_a_material_s_run_ends_with_a_summary_that_shows_its_figures(tmp_path):
    path = write_material_run(tmp_path)
    plan = Plan.of(load_material(path / "campaign.yaml"), resolve(SiteConfig(cores=2)))
    write_report(path, State(plan))
    text = (path / "summary.md").read_text()
    for name in ("spectra.png", "errors.png"):
        assert f"]({name})" in text
        assert (path / name).stat().st_size > 10_000
    assert (path / "results.h5").exists()
