"""Stages of a campaign that only write small files: real processes, made-up physics.

Files beside the run directory steer them: ``slow`` makes each task take its seconds,
``slow-<stage>`` each of that stage, ``trouble-<task>`` makes that task fail in the way that it
names, as many times as it has lines.
"""

import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import safetensors
import safetensors.numpy

from gcd_hpc.errors import SimulationError
from gcd_hpc.files import replacing
from gcd_hpc.stages import record
from gcd_hpc.stages.record import RECORD, Begun
from gcd_hpc.stages.result import StageResult
from gcd_hpc.stages.table import STAGES, Task
from gcd_hpc.store.parts import read_provenance, write_part
from gcd_hpc.store.run_directory import RunDirectory

PLANES = 5
"""[n] counts fifths."""


def energy(version: int, chunk: int) -> float:
    """A made-up energy that falls with each version."""
    return round(3.0 - 0.1 * version - 0.001 * chunk, 4)


def begin(run_dir: str, task: Task) -> Begun:
    """Leave a mark that the task was executed, then misbehave as told."""
    begun = record.begin(task)
    marks = Path(run_dir) / "executed"
    marks.mkdir(exist_ok=True)
    node = os.environ.get("SLURMD_NODENAME", "here")
    (marks / f"{task.name}.{os.getpid()}.{time.monotonic_ns()}.{node}").touch()
    for name in ("slow", f"slow-{task.stage}"):
        slow = beside(run_dir) / name
        if slow.exists():
            time.sleep(float(slow.read_text()))
    trouble = beside(run_dir) / f"trouble-{task.name}"
    kinds = trouble.read_text().split() if trouble.exists() else []
    if kinds:
        trouble.write_text("\n".join(kinds[1:]))
        misbehave(kinds[0], run_dir, task)
    return begun


def beside(run_dir: str) -> Path:
    """Folder of the files that steer a run. Those of a member have its name: a/slow, b/slow."""
    run = Path(run_dir)
    is_member = run.parent == RunDirectory(run.parents[1]).boundaries
    return run.parents[2] / run.name if is_member else run.parent


def misbehave(kind: str, run_dir: str, task: Task) -> None:
    match kind:
        case "paused":
            raise SystemExit(os.EX_TEMPFAIL)
        case "paused-later":
            save_a_step(RunDirectory(run_dir).training_progress(task.round))
            raise SystemExit(os.EX_TEMPFAIL)
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "mistake":
            raise SimulationError("the toy was told to fail")
        case "bug":
            raise ZeroDivisionError("a bug of the toy")


def save_a_step(progress: Path) -> None:
    """Go on by one of ten steps, as a training does before it pauses."""
    step = json.loads(progress.read_text())["saved_step"] if progress.exists() else 0
    progress.parent.mkdir(parents=True, exist_ok=True)
    progress.write_text(json.dumps({"step": step + 1, "saved_step": step + 1, "num_steps": 10}))


def leave(run_dir: str, begun: Begun, result: StageResult, task: Task | None = None) -> StageResult:
    """Write the product of a task, without any candidates, with its record."""
    task = task or begun.task
    spec = STAGES[task.stage]
    path = spec.product(RunDirectory(run_dir), task.round, max(0, task.chunk))
    entries = {RECORD: replace(begun, task=task).record(result).text()}
    value = str(energy(task.round, task.chunk))
    if path.suffix == ".h5":
        write_part(path, [], {"config": "", "toy": value} | entries)
        return result
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        if path.suffix == ".json":
            temporary.write_text(json.dumps({"model": task.round, "toy": value} | entries))
        else:
            safetensors.numpy.save_file({}, temporary, {"toy": value} | entries)
    return result


def content(path: Path) -> str:
    """What a product holds beside its record."""
    if path.suffix == ".h5":
        return read_provenance(path)["toy"]
    if path.suffix == ".json":
        return json.loads(path.read_text())["toy"]
    with safetensors.safe_open(path, framework="numpy") as file:
        return file.metadata()["toy"]


def chunk_result(version: int, chunk: int) -> StageResult:
    best = {1: energy(version, chunk), 2: 3.0}
    low = ((1, energy(version, chunk)),) if version else ()
    return StageResult(num=2, ok=2, atoms_per_plane=PLANES, best=best, low=low)


def search_chunk(run_dir: str, chunk: int) -> StageResult:
    begun = begin(run_dir, Task("search", 0, chunk))
    return leave(run_dir, begun, chunk_result(0, chunk))


def select(run_dir: str, version: int) -> StageResult:
    return leave(run_dir, begin(run_dir, Task("select", version)), StageResult(num=2))


def train(run_dir: str, version: int) -> None:
    leave(run_dir, begin(run_dir, Task("train", version)), StageResult())


def promote(run_dir: str, version: int) -> StageResult:
    begun = begin(run_dir, Task("promote", version))
    return leave(run_dir, begun, StageResult(model=version, promoted=True))


def sample_task(run_dir: str, version: int, chunk: int) -> StageResult:
    begun = begin(run_dir, Task("sample", version, chunk))
    scores = (((1, energy(version, chunk)), (2, 3.5)), ((2, 3.6 - 0.01 * chunk),))
    result = StageResult(num=3, ok=3, atoms_per_plane=PLANES, queue=scores)
    return leave(run_dir, begun, result)


def sample(run_dir: str, version: int, num_chunks: int = 2) -> None:
    begun = begin(run_dir, Task("sample", version))
    for chunk in range(num_chunks):
        task = Task("sample", version, chunk)
        if not RunDirectory(run_dir).sampled_part(version, chunk).exists():
            leave(run_dir, begun, StageResult(num=2, ok=2), task)


def explore_chunk(run_dir: str, round: int, chunk: int) -> StageResult:
    """Lowers the energy in the first generation of two chunks, and then no more."""
    begun = begin(run_dir, Task("explore", round, chunk))
    return leave(run_dir, begun, chunk_result(round, 90 + min(chunk, 1)))


def relax_chunk(run_dir: str, version: int, chunk: int, num_batches: int = 1) -> StageResult:
    begun = begin(run_dir, Task("relax", version, chunk))
    assert RunDirectory(run_dir).sampled_part(version, chunk // num_batches).exists()
    return leave(run_dir, begun, chunk_result(version, chunk))
