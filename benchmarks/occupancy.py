"""How busy relaxation workers are, and what a task costs beside its work: overlapping stages
against stages that take turns.

    python benchmarks/occupancy.py [--num 400]

Runs the smoke campaign (its network is small, so that relaxation is what takes time, as with real
networks on GPUs) with two relaxation
workers: once with pools of their own, where sampling is held back while the queue is long and the
second model is trained meanwhile, and once by turns. Prints the share of the workers' time between
the first and the last candidate that was spent on relaxations.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from gcd_hpc.accounts.report import middle, occupancy, percentile, report_of
from gcd_hpc.campaign.ledger import read_state

ROOT = Path(__file__).parents[1]
SITE = """
name: occupancy
mode: {mode}
cores: 4 # two relaxation workers, one sampling worker and one training process share what is there
training: {{processes_per_node: 1}}
sampling: {{processes_per_node: 1}}
relaxation: {{processes_per_node: 2}}
"""


def run(folder: Path, mode: str, num: int) -> Path:
    """A whole campaign in one mode; its run directory."""
    site, run_dir = folder / f"{mode}.yaml", folder / mode
    site.write_text(SITE.format(mode=mode))
    changes = {
        "sampling.num_candidates": num,
        "sampling.chunk_size": 20,
        "sampling.batch_size": 10,
        "sampling.relax_batch": 4,
        "selection.retrain_after": 60,
        "search.num_tries": 40,
    }
    overrides = [word for key, value in changes.items() for word in ("--set", f"{key}={value}")]
    line = [
        sys.executable,
        "-m",
        "gcd_hpc.cli",
        "campaign",
        "campaigns/smoke.yaml",
        "--site",
        str(site),
        "--run-dir",
        str(run_dir),
    ]
    with open(folder / f"{mode}.log", "w") as log:
        subprocess.run([*line, *overrides], cwd=ROOT, check=True, stdout=log, stderr=log)
    return run_dir


def figures(run_dir: Path) -> tuple[str, ...]:
    """Cells of one row of the table."""
    state = read_state(run_dir)
    assert state is not None, f"{run_dir}: no campaign"
    relaxed = [done for task, done in state.finished.items() if task.stage == "relax"]
    pool = occupancy([(done.started, done.ended) for done in relaxed], num_workers=2)
    report = report_of(state)
    num = sum(done.num for done in relaxed)
    span = max(done.ended for done in relaxed) - min(done.started for done in relaxed)
    return (
        f"{pool.whole:.1%}",
        f"{num}",
        f"{len(relaxed)}",
        f"{span:.1f}",
        f"{1000 * middle(report.overhead_s):.1f}",
        f"{1000 * percentile(report.overhead_s, 0.95):.1f}",
        f"{middle(report.state.account.first_sample_s):.1f}",
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--num", type=int, default=400, help="candidates of each of the two models")
    arguments = parser.parse_args()
    print(
        "| mode | workers busy | candidates | tasks | first to last, s | overhead a task, ms | 95 %"
        " below | model to first sample, s |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as folder:
        for mode in ("asynchronous", "barrier"):
            print(
                f"| {mode} | " + " | ".join(figures(run(Path(folder), mode, arguments.num))) + " |",
                flush=True,
            )


if __name__ == "__main__":
    main()
