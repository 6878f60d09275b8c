"""The policy on a machine of a thousand workers: 100,000 candidates, simulated.

    python benchmarks/rehearsal.py

Five rounds of 20,000 candidates; a relaxation takes a minute, one attempt in 500 loses its worker,
one in 500 takes five times as long. Every candidate is a task of its own. The rival is the same
machine with stages that take turns.
"""

import time
from dataclasses import replace

from rich.console import Console

from gcd_hpc.accounts.rehearsal import Pace, Rehearsal
from gcd_hpc.accounts.report import report_of
from gcd_hpc.browse.usage import report_record, report_table
from gcd_hpc.stages.tasks import Plan

PLAN = Plan(
    num_search_chunks=500,
    num_sample_chunks=500,
    rounds=5,
    mode="asynchronous",
    num_batches=40,
    relaxation_workers=1000,
    sampling_workers=8,
    retrain_after=300,
    chunk_sizes={"search": 4, "sample": 40, "relax": 1},
)
BARRIER = replace(
    PLAN,
    mode="barrier",
    num_sample_chunks=20_000,
    num_batches=1,
    chunk_sizes={"search": 4, "sample": 1, "relax": 1},
)
PACE = Pace(search_s=60.0, sample_s=0.1, relax_s=60.0, train_s=900.0)


def main() -> None:
    console = Console(width=120)
    for plan in (PLAN, BARRIER):
        started = time.perf_counter()
        simulated = Rehearsal(plan, PACE).run()
        report = report_of(simulated.state)
        seconds = time.perf_counter() - started
        console.print(
            f"{plan.mode}: {len(simulated.events):,} events in {seconds:.1f} s,"
            f" {report.state.elapsed_s / 3600:.2f} simulated hours"
        )
        console.print(report_table(report_record(report)))


if __name__ == "__main__":
    main()
