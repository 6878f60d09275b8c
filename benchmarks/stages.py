"""Seconds on one core: a training step, a sampled candidate, a relaxed candidate, each beside a
rival in the same run.

    OMP_NUM_THREADS=1 python benchmarks/stages.py RUN [--append]

RUN is a finished run directory of the default campaign. The rivals: float32 for the two network
stages; a new LAMMPS process for each structure for relaxation. ``--append`` adds the table to
benchmarks/RESULTS.md.
"""

import argparse
import platform
import time
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import torch

from gcd_hpc.engines.child import LammpsChild
from gcd_hpc.learning.boundary import BoundarySystem, load_boundary_system
from gcd_hpc.learning.sampler import Sampler
from gcd_hpc.learning.training import BoundaryTraining, Process, training_batches
from gcd_hpc.stages.ranking import lowest_learned
from gcd_hpc.stages.relaxing import ScreenWindow, relax_candidate
from gcd_hpc.store.parts import read_part
from gcd_hpc.store.run_directory import RunDirectory

RESULTS = Path(__file__).with_name("RESULTS.md")
CPU = torch.device("cpu")


def with_precision(system: BoundarySystem, precision: str) -> BoundarySystem:
    """The same system computing in another number type."""
    training_section = system.config.training.model_copy(update={"precision": precision})
    return replace(system, config=system.config.model_copy(update={"training": training_section}))


def step_seconds(system: BoundarySystem, run_dir: Path, num: int = 30) -> float:
    """Median time of a training step, data included."""
    structures = read_part(RunDirectory(run_dir).training_set(1))
    fit, held = training_batches(system, structures, 1)
    state = BoundaryTraining(fit, held, Process(CPU), num)
    times = []
    for _ in range(num):
        started = time.perf_counter()
        state.trainer.advance()
        times.append(time.perf_counter() - started)
    return float(np.median(times))


def candidate_seconds(system: BoundarySystem, run_dir: Path, num: int = 30) -> float:
    """Mean time to sample and decode a candidate."""
    sampler = replace(Sampler.load(run_dir, 1, CPU), system=system)
    sampler.sample(range(system.config.sampling.batch_size))
    started = time.perf_counter()
    sampler.sample(range(num))
    return (time.perf_counter() - started) / num


def relaxation_seconds(
    system: BoundarySystem, run_dir: Path, new_process: bool, num: int = 40
) -> float:
    """Mean time to relax a candidate of the first model as the campaign does: screen for all,
    preset for those that matter.
    """
    rows = [
        row
        for row in read_part(RunDirectory(run_dir).sampled_part(1, 0))
        if row.status == "sampled"
    ][:num]
    window = ScreenWindow(system.config.relaxation.screen_window_j_m2, lowest_learned(run_dir, 1))
    with LammpsChild(system.potential, 60.0) as child:
        relax_candidate(system, child, rows[0], window)
        started = time.perf_counter()
        for row in rows:
            if new_process:
                child.close()
            relax_candidate(system, child, row, window)
        return (time.perf_counter() - started) / len(rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--append", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    system = load_boundary_system(str(options.run))
    plain, auto = with_precision(system, "float32"), with_precision(system, "auto")
    rows = [
        (
            "training step, batch 4",
            "float32",
            step_seconds(auto, options.run),
            step_seconds(plain, options.run),
            0.20,
        ),
        (
            "sampled candidate",
            "float32",
            candidate_seconds(auto, options.run),
            candidate_seconds(plain, options.run),
            0.40,
        ),
        (
            "relaxed candidate",
            "a new LAMMPS process each",
            relaxation_seconds(system, options.run, False),
            relaxation_seconds(system, options.run, True),
            0.15,
        ),
    ]
    lines = [
        f"## {date.today()}: stages on one core",
        "",
        f"{platform.machine()}, {processor()}; torch {torch.__version__}",
        "",
    ]
    lines += [
        "| what | ours, s | rival | rival, s | rival / ours | limit, s |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {what} | {ours:.3f} | {rival} | {theirs:.3f} | {theirs / ours:.2f} | {limit:.2f} |"
        for what, rival, ours, theirs, limit in rows
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    if options.append:
        with RESULTS.open("a") as stream:
            stream.write("\n" + text)


def processor() -> str:
    """The processor's own name, on Linux."""
    names = [
        line.split(":")[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return names[0] if names else "unknown processor"


if __name__ == "__main__":
    main()
