"""Stages of a material's campaign that only write small files; see ``toy``."""

import os
import sys

from gcd_hpc.errors import GcdError
from gcd_hpc.stages.launched import report_error
from gcd_hpc.stages.result import StageResult, Tally
from gcd_hpc.stages.table import Task
from gcd_hpc.store.run_directory import RunDirectory
from tests.campaign.toy import begin, leave


def error(round: int, chunk: int) -> float:
    """A made-up spectrum error that falls with each round."""
    return round_to(0.01 / round + 0.0001 * chunk)


def round_to(value: float) -> float:
    return float(f"{value:.6f}")


def quench(run_dir: str, round: int, chunk: int) -> StageResult:
    return leave(run_dir, begin(run_dir, Task("quench", 0, chunk)), StageResult(num=1, ok=1))


def label(run_dir: str, round: int, chunk: int) -> StageResult:
    begun = begin(run_dir, Task("label", 0, chunk))
    assert RunDirectory(run_dir).quenched_part(chunk).exists()
    return leave(run_dir, begun, StageResult(num=1, ok=1))


def gather(run_dir: str, round: int, chunk: int) -> StageResult:
    begun = begin(run_dir, Task("gather", round))
    earlier = RunDirectory(run_dir).relaxed_parts(round - 1) if round > 1 else []
    return leave(run_dir, begun, StageResult(num=4 + len(earlier)))


def fit(run_dir: str, round: int) -> None:
    leave(run_dir, begin(run_dir, Task("fit", round)), StageResult())


def guide(run_dir: str, round: int, chunk: int) -> StageResult:
    begun = begin(run_dir, Task("guide", round, chunk))
    return leave(run_dir, begun, StageResult(num=2, ok=2))


def settle(run_dir: str, round: int, chunk: int) -> StageResult:
    begun = begin(run_dir, Task("settle", round, chunk))
    assert RunDirectory(run_dir).sampled_part(round, chunk).exists()
    return leave(run_dir, begun, StageResult(num=2, ok=2))


def verify(run_dir: str, round: int, chunk: int) -> StageResult:
    begun = begin(run_dir, Task("verify", round, chunk))
    assert RunDirectory(run_dir).settled_part(round, chunk).exists()
    best = {0: error(round, chunk), 1: round_to(2 * error(round, chunk))}
    made = {f"model {round:02d}": Tally(2, 1.0, best)}
    return leave(run_dir, begun, StageResult(num=2, ok=2, best=best, sources=made))


if __name__ == "__main__" and os.environ["RANK"] == "0":
    try:
        fit(sys.argv[1], int(sys.argv[2]))
    except GcdError as problem:
        sys.exit(report_error(problem))
