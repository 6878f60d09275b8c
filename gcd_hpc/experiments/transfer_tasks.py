"""Tasks of the transfer experiment: zero-shot candidates, a rival, and exploration loops.

Every task uses the stages of a campaign in a prepared run directory and goes on from the products
that it finds there.
"""

from collections.abc import Iterator
from math import inf
from pathlib import Path

import numpy as np
import torch

from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.experiments.boundary_tasks import columns_of, reported, to_arrays
from gcd_hpc.experiments.work import Arrays, Report
from gcd_hpc.learning.boundary import load_boundary_system
from gcd_hpc.learning.candidates import new_candidate, with_structure
from gcd_hpc.search.tries import search_start
from gcd_hpc.seeds import REPRODUCE, SEARCH, generator
from gcd_hpc.stages.explore import explore_chunk
from gcd_hpc.stages.record import Record, find_record
from gcd_hpc.stages.relax import relax_chunk
from gcd_hpc.stages.relaxing import ScreenWindow, relax_candidate, worker_child
from gcd_hpc.stages.sample import device_of, sample_chunks
from gcd_hpc.stages.search import search_chunk
from gcd_hpc.stages.table import Task as StageTask
from gcd_hpc.store.parts import read_part
from gcd_hpc.store.run_directory import RunDirectory, num_chunks
from gcd_hpc.store.schema import Candidate

GIVEN = 0
"""Version of the model that a run starts from."""


def loop(run_dir: Path, budget_s: float, stop_j_m2: float, report: Report) -> Arrays:
    """Search, sampling of the given model if there is one, and exploration.

    The loop ends with the task that spends the budget, or that finds an energy of ``stop_j_m2`` or
    lower.

    Returns:
        COLUMNS of all structures, (N,); spent_s and lowest_j_m2, (K,): core-seconds after each task
        and the lowest energy so far. Those of the model's candidates and moves are counted, those
        of its training are not.
    """
    config = load_boundary_system(str(run_dir)).config
    found = spend(run_dir, list(stage_tasks(config)), budget_s, stop_j_m2, report)
    return {**columns_of(RunDirectory(run_dir).all_relaxed_parts()), **found}


def zero_shot(run_dir: Path, report: Report) -> Arrays:
    """Candidates of a model that has never seen the boundary: sampled and relaxed.

    Tries of the search come before them if the campaign has any.

    Returns:
        COLUMNS of the candidates, invalid and failed ones included, and spent_s, the core-seconds
        of all, those of the tries included.
    """
    config = load_boundary_system(str(run_dir)).config
    tasks = [task for task in stage_tasks(config) if task.stage != "explore"]
    found = spend(run_dir, tasks, inf, -inf, report)
    columns = columns_of(RunDirectory(run_dir).relaxed_parts(GIVEN))
    return {**columns, "spent_s": found["spent_s"][-1]}


def registries_only(run_dir: Path, report: Report) -> Arrays:
    """Tries without dynamics at the registries of the zero-shot candidates.

    What remains of the difference to the candidates is due to the atoms that the model placed.
    """
    system = load_boundary_system(str(run_dir))
    sampled = [
        row for part in RunDirectory(run_dir).sampled_parts(GIVEN) for row in read_part(part)
    ]

    def begun(row: Candidate) -> Candidate:
        rng = generator(system.config.seed, REPRODUCE, SEARCH, row.index)
        registry = np.asarray(row.registry)
        atoms, _, _ = search_start(system.frame, system.config.search, rng, registry)
        made = new_candidate(system, "search", row.index)
        return with_structure(system, made, atoms.positions, registry, numbers=atoms.numbers)

    window = ScreenWindow(system.config.relaxation.screen_window_j_m2, {})
    child = worker_child(str(run_dir))
    rows = (relax_candidate(system, child, begun(row), window, run_dir=run_dir) for row in sampled)
    return to_arrays(reported(rows, len(sampled), report))


def stage_tasks(config: CampaignConfig) -> Iterator[StageTask]:
    """Tasks of a campaign of no rounds, in their order."""
    search, sampling = config.search, config.sampling
    for chunk in range(num_chunks(search.num_tries, search.chunk_size)):
        yield StageTask("search", 0, chunk)
    if config.model is not None:
        chunks = range(num_chunks(sampling.num_candidates, sampling.chunk_size))
        yield from (StageTask("sample", GIVEN, chunk) for chunk in chunks)
        yield from (StageTask("relax", GIVEN, chunk) for chunk in chunks)
    for chunk in range(config.explore.generations * config.explore.tasks_per_generation):
        yield StageTask("explore", 0, chunk)


def spend(
    run_dir: Path, tasks: list[StageTask], budget_s: float, stop_j_m2: float, report: Report
) -> Arrays:
    """Carry out tasks until a budget of core-seconds is spent, or an energy is reached."""
    spent, lowest = 0.0, inf
    trace: list[tuple[float, float]] = []
    for done, task in enumerate(tasks, start=1):
        record = carry_out(run_dir, task)
        spent += record.cpu_s or 0.0
        found = record.result.sources.values()
        lowest = min([lowest, *(energy for tally in found for energy in tally.best.values())])
        trace.append((spent, lowest))
        report(max(done / len(tasks), min(1.0, spent / budget_s)))
        if spent >= budget_s or lowest <= stop_j_m2:
            break
    times, energies = np.array(trace).reshape(-1, 2).T
    return {"spent_s": times, "lowest_j_m2": energies}


def carry_out(run_dir: Path, task: StageTask) -> Record:
    """Record of a task, which is carried out unless its product exists."""
    record = find_record(run_dir, task, 1)
    if record is None:
        torch.set_num_threads(1)
        call_stage(str(run_dir), task)
        record = find_record(run_dir, task, 1)
    assert record is not None
    return record


def call_stage(run_dir: str, task: StageTask) -> None:
    """Carry out a task in this process."""
    match task.stage:
        case "search":
            search_chunk(run_dir, task.chunk)
        case "sample":
            list(sample_chunks(Path(run_dir), task.round, 0, 1, device_of(0)))
        case "relax":
            relax_chunk(run_dir, task.round, task.chunk)
        case "explore":
            explore_chunk(run_dir, task.round, task.chunk)
        case _:
            raise AssertionError(f"no task of a campaign without rounds: {task.name}")
