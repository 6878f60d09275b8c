"""Stages of a campaign that only write small files: real processes, made-up physics.

Files beside the run directory steer them: ``slow`` makes each task take its seconds,
``trouble-<task>`` makes that task fail in the way that it names, as many times as it has lines.
"""

import os
import signal
import time
from pathlib import Path

from gcd_hpc.errors import SimulationError
from gcd_hpc.files import replacing
from gcd_hpc.store.run_directory import RunDirectory


def energy(version: int, chunk: int) -> float:
    """A made-up energy that falls with each version."""
    return round(3.0 - 0.1 * version - 0.001 * chunk, 4)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(text)


def begin(run_dir: str, task: str) -> None:
    """Leave a mark that the task was executed, then misbehave as told."""
    marks = Path(run_dir) / "executed"
    marks.mkdir(exist_ok=True)
    (marks / f"{task}.{os.getpid()}.{time.monotonic_ns()}").touch()
    slow = Path(run_dir).parent / "slow"
    if slow.exists():
        time.sleep(float(slow.read_text()))
    trouble = Path(run_dir).parent / f"trouble-{task}"
    kinds = trouble.read_text().split() if trouble.exists() else []
    if kinds:
        trouble.write_text("\n".join(kinds[1:]))
        misbehave(kinds[0])


def misbehave(kind: str) -> None:
    match kind:
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "mistake":
            raise SimulationError("the toy was told to fail")
        case "bug":
            raise ZeroDivisionError("a bug of the toy")


def chunk_result(version: int, chunk: int) -> dict:
    return {
        "num": 2,
        "ok": 2,
        "failed": 0,
        "invalid": 0,
        "seconds": 0.0,
        "best": {"0.2": energy(version, chunk), "0.4": 3.0},
    }


def search_chunk(run_dir: str, chunk: int) -> dict:
    begin(run_dir, f"search-{chunk:05d}")
    write(RunDirectory(run_dir).search_part(chunk), f"{energy(0, chunk)}\n")
    return chunk_result(0, chunk)


def select(run_dir: str, version: int) -> dict:
    begin(run_dir, f"select-{version:02d}")
    write(RunDirectory(run_dir).training_set(version), "structures\n")
    return {"num_structures": 2, "seconds": 0.0}


def train(run_dir: str, version: int) -> None:
    begin(run_dir, f"train-{version:02d}")
    write(RunDirectory(run_dir).model_file(version), "weights\n")


def promote(run_dir: str, version: int) -> dict:
    begin(run_dir, f"promote-{version:02d}")
    write(RunDirectory(run_dir).promotion(version), f'{{"model": {version}}}')
    return {"model": version, "promoted": True, "seconds": 0.0}


def sample_task(run_dir: str, version: int, chunk: int) -> dict:
    begin(run_dir, f"sample-{version:02d}-{chunk:05d}")
    write(RunDirectory(run_dir).sampled_part(version, chunk), "candidates\n")
    scores = [[[0.2, energy(version, chunk)], [0.4, 3.5]], [[0.4, 3.6 - 0.01 * chunk]]]
    return {
        "num": 3,
        "ok": 3,
        "failed": 0,
        "invalid": 0,
        "seconds": 0.0,
        "best": {},
        "queue": scores,
    }


def sample(run_dir: str, version: int, num_chunks: int = 2) -> None:
    begin(run_dir, f"sample-{version:02d}")
    for chunk in range(num_chunks):
        write(RunDirectory(run_dir).sampled_part(version, chunk), "candidates\n")


def relax_chunk(run_dir: str, version: int, chunk: int, num_batches: int = 1) -> dict:
    begin(run_dir, f"relax-{version:02d}-{chunk:05d}")
    assert RunDirectory(run_dir).sampled_part(version, chunk // num_batches).exists()
    write(RunDirectory(run_dir).relaxed_part(version, chunk), f"{energy(version, chunk)}\n")
    return {**chunk_result(version, chunk), "low": [[0.2, energy(version, chunk)]]}
