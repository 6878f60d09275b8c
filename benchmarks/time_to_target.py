"""Processor time until a search has found the lowest energies that are known of a boundary.

    python -m benchmarks.time_to_target benchmarks/boundaries/w_sigma27_552_1x4.yaml \
        --method moves --seeds 0-9 --budget 600
    python -m benchmarks.time_to_target --table

Runs the stages of a campaign one after the other in this process and stops at the targets of
benchmarks/targets.yaml or at the budget. The methods are fresh tries without molecular dynamics
(fresh) and with it (fresh-md), local moves on the best structures (moves), and local moves beside
rounds of the model (moves-model). With fresh-cooled every try is annealed as gcd-hpc init has it,
hotter, longer and cooling; moves-cooled has the search and the annealing that gcd-hpc init writes,
the chains of the boundary's file and no last generation. Core-seconds are the processor time in the
records of the tasks: what a campaign's ledger counts, of the stage and of LAMMPS, training
included.

Each run becomes one line of the output file. Seeds that are in it are skipped, and a run that was
interrupted continues from its parts in --runs.
"""

import argparse
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path

import torch

from benchmarks.target_table import (
    ANY,
    METHODS,
    TOLERANCE_J_M2,
    Improvement,
    Run,
    append,
    ratios,
    read_runs,
    read_targets,
    table,
)
from gcd_hpc.campaign.draft import OF_MOVES, OF_TRIES
from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.loader import dump, load_campaign
from gcd_hpc.learning.boundary import load_boundary_system, prepare
from gcd_hpc.learning.training import Process
from gcd_hpc.stages.explore import explore_chunk
from gcd_hpc.stages.population import population_of
from gcd_hpc.stages.promote import promote
from gcd_hpc.stages.record import Record, find_record
from gcd_hpc.stages.relax import relax_chunk
from gcd_hpc.stages.relaxing import worker_child
from gcd_hpc.stages.sample import kept_sampler, sample_task
from gcd_hpc.stages.search import search_chunk
from gcd_hpc.stages.select import select
from gcd_hpc.stages.table import Task
from gcd_hpc.stages.train import train
from gcd_hpc.store.provenance import package_provenance
from gcd_hpc.store.run_directory import RunDirectory, num_chunks

HERE = Path(__file__).parent


@dataclass
class Search:
    """A run in progress: what it has spent and found so far."""

    run_dir: Path
    config: CampaignConfig
    targets: Mapping[str, float]
    spent_s: float = 0.0
    tries: int = 0
    failed: int = 0

    def __post_init__(self) -> None:
        self.improvements: list[Improvement] = []
        self.lowest: dict[int, float] = {}

    def prepare(self, folder: Path) -> None:
        """Write the campaign into the run directory and measure the crystal, not counted."""
        self.run_dir.mkdir(parents=True, exist_ok=True)
        config = RunDirectory(self.run_dir).config
        if config.exists() and config.read_text() != dump(self.config):
            raise SystemExit(
                f"{self.run_dir}: cannot be continued, because it was begun with other settings;"
                " remove it or name another --runs"
            )
        config.write_text(dump(self.config))
        prepare(self.run_dir, self.config, folder)

    def tasks(self, method: str) -> Iterator[Task]:
        """Tasks of a method in their order, without an end except by the number of tries."""
        search, explore, sampling = self.config.search, self.config.explore, self.config.sampling
        for chunk in range(num_chunks(search.num_tries, search.chunk_size)):
            yield Task("search", 0, chunk)
        if method.startswith("fresh"):
            return
        moves = range(explore.generations * explore.tasks_per_generation)
        yield from (Task("explore", 0, chunk) for chunk in moves)
        if method != "moves-model":
            return
        candidates = range(num_chunks(sampling.num_candidates, sampling.chunk_size))
        for round in range(1, self.config.budget.rounds + 1):
            yield from (Task("select", round), Task("train", round), Task("promote", round))
            yield from (Task("sample", round, chunk) for chunk in candidates)
            yield from (Task("relax", round, chunk) for chunk in candidates)
            yield from (Task("explore", round, chunk) for chunk in moves)

    def do(self, task: Task) -> None:
        """Carry out a task unless its product exists, and count its time and findings."""
        record = find_record(self.run_dir, task, 1)
        if record is None:
            _call(str(self.run_dir), task)
            record = find_record(self.run_dir, task, 1)
        assert record is not None and record.cpu_s is not None
        self._count(record)

    def _count(self, record: Record) -> None:
        self.spent_s += record.cpu_s or 0.0
        result = record.result
        if record.task.stage not in ("search", "explore", "relax"):
            return
        self.tries += result.num
        self.failed += result.failed
        for source, tally in result.sources.items():
            for n_index, energy in tally.best.items():
                if energy < self.lowest.get(n_index, inf) - 1e-4:
                    self.lowest[n_index] = energy
                    found = Improvement(round(self.spent_s, 2), n_index, round(energy, 5), source)
                    self.improvements.append(found)

    def has_all(self) -> bool:
        """Whether all targets are reached."""
        best = {str(n_index): energy for n_index, energy in self.lowest.items()}
        best[ANY] = min(self.lowest.values(), default=inf)
        return bool(self.targets) and all(
            best.get(key, inf) <= target + TOLERANCE_J_M2 for key, target in self.targets.items()
        )

    def close(self) -> None:
        """End LAMMPS and forget what is kept for a worker's next task."""
        worker_child(str(self.run_dir)).close()
        for kept in (population_of, kept_sampler, load_boundary_system):
            kept.cache_clear()


def _call(run_dir: str, task: Task) -> None:
    """Carry out one task in this process."""
    match task.stage:
        case "search":
            search_chunk(run_dir, task.chunk)
        case "explore":
            explore_chunk(run_dir, task.round, task.chunk)
        case "select":
            select(run_dir, task.round)
        case "train":
            train(Path(run_dir), task.round, Process(torch.device("cpu")))
        case "promote":
            promote(run_dir, task.round)
        case "sample":
            sample_task(run_dir, task.round, task.chunk)
        case "relax":
            relax_chunk(run_dir, task.round, task.chunk)


def campaign_of(file: Path, method: str, seed: int) -> CampaignConfig:
    """Campaign of a boundary with the changes of a method."""
    changes = METHODS[method] | {"seed": seed}
    if method.endswith("-cooled"):
        element = load_campaign(file).boundary.element
        changes |= {f"search.md.{key}": value for key, value in OF_TRIES.of(element).items()}
        changes |= {f"explore.md.{key}": value for key, value in OF_MOVES.of(element).items()}
    return load_campaign(file, [f"{key}={value}" for key, value in changes.items()])


def run(
    file: Path, method: str, seed: int, runs: Path, budget_s: float, until: float
) -> Run | None:
    """Search until the targets or the budget are reached; None if the wall time ends before.

    Args:
        until: time of the monotonic clock after which no task is begun.
    """
    config = campaign_of(file, method, seed)
    targets = read_targets().get(file.stem, {})
    search = Search(runs / f"{file.stem}-{method}-{seed}", config, targets)
    search.prepare(file.parent)
    try:
        for task in search.tasks(method):
            if search.spent_s >= budget_s or search.has_all():
                break
            if time.monotonic() > until:
                return None
            search.do(task)
    finally:
        search.close()
    return Run(
        file.stem,
        method,
        seed,
        budget_s,
        round(search.spent_s, 2),
        search.tries,
        search.failed,
        tuple(search.improvements),
        **package_provenance(),
        campaign=dump(config),
    )


def seeds_of(text: str) -> list[int]:
    """Seeds of a range such as 0-9, or of a single number."""
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"must be a range such as 0-9, got {text!r}")
    first, last = int(match[1]), int(match[2] or match[1])
    return list(range(first, last + 1))


def parser() -> argparse.ArgumentParser:
    """Command line of this script."""
    line = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    line.add_argument("boundary", type=Path, nargs="?", help="one of benchmarks/boundaries")
    line.add_argument("--method", choices=list(METHODS), default="moves")
    line.add_argument("--seeds", type=seeds_of, default="0-9", help="range such as 0-9")
    line.add_argument("--budget", type=float, default=600.0, help="core-seconds of each run")
    line.add_argument("--wall", type=float, default=inf, help="begin no task after so many s")
    line.add_argument("--runs", type=Path, default=Path("runs/time_to_target"))
    line.add_argument("--out", type=Path, default=HERE / "time_to_target.jsonl")
    line.add_argument("--table", action="store_true", help="print the tables and end")
    return line


def main() -> None:
    arguments = parser().parse_args()
    if arguments.table or arguments.boundary is None:
        runs, targets = read_runs(arguments.out), read_targets()
        print(*table(runs, targets), "", *ratios(runs, targets), sep="\n")
        return
    torch.set_num_threads(1)
    until = time.monotonic() + arguments.wall
    for seed in arguments.seeds:
        name = (arguments.boundary.stem, arguments.method, seed)
        if name in [(old.boundary, old.method, old.seed) for old in read_runs(arguments.out)]:
            continue
        one = run(
            arguments.boundary, arguments.method, seed, arguments.runs, arguments.budget, until
        )
        if one is None:
            print(f"seed {seed}: interrupted by --wall; the same command continues", flush=True)
            return
        append(arguments.out, one)
        lowest = " ".join(f"{n}:{energy:.4f}" for n, energy in sorted(one.lowest().items()))
        print(f"{'-'.join(map(str, name))}: {one.spent_s:.0f} core-s, {lowest}", flush=True)


if __name__ == "__main__":
    main()
