"""The policy on a machine of a thousand workers: 100,000 candidates, simulated.

    python benchmarks/rehearsal.py

Five rounds of 20,000 candidates; a relaxation takes a minute, one attempt in 500 loses its worker,
one in 500 takes five times as long. Every candidate is a task of its own. The rival is the same
machine with stages that take turns.

Then a set of 400 boundaries without a model on the same machine: 80 tries of 12 s and up to 20
generations of 16 chains of five moves of 8 s each, of which four in a row without an improvement
end a boundary. Its tasks hold four chains or two.
"""

import time
from dataclasses import replace

from rich.console import Console

from gcd_hpc.accounts.rehearsal import Pace, Rehearsal
from gcd_hpc.accounts.report import report_of
from gcd_hpc.accounts.set_rehearsal import SetRehearsal
from gcd_hpc.browse.usage import report_record, report_table
from gcd_hpc.stages.plan import Plan

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
NUM_BOUNDARIES, CHAINS, MOVES = 400, 16, 5
SET_PACE = Pace(search_s=12.0, explore_s=8.0)


def set_plan(chains_per_task: int) -> Plan:
    """Plan of every boundary of the set."""
    return Plan(
        num_search_chunks=8,
        num_sample_chunks=0,
        rounds=0,
        relaxation_workers=1000,
        num_explore_chunks=CHAINS // chains_per_task,
        generations=20,
        patience=4,
        chunk_sizes={"search": 10, "explore": chains_per_task * MOVES},
    )


def learning(plan: Plan) -> Plan:
    """The plan with one round of a model that the boundaries share, in asynchronous mode."""
    return replace(
        plan,
        mode="asynchronous",
        rounds=1,
        num_sample_chunks=10,
        sampling_workers=8,
        chunk_sizes={**plan.chunk_sizes, "sample": 10, "relax": 10},
    )


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
    sets = {f"set, {chains} chains a task": set_plan(chains) for chains in (4, 2)}
    sets |= {f"{name}, a shared model": learning(plan) for name, plan in sets.items()}
    for name, plan in sets.items():
        started = time.perf_counter()
        found = SetRehearsal(plan, SET_PACE, NUM_BOUNDARIES).run().report()
        console.print(f"{name}: {time.perf_counter() - started:.1f} s")
        console.print("\n".join(found.lines()))


if __name__ == "__main__":
    main()
