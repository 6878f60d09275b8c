"""Seconds of the stages: a training step, a sampled candidate, a relaxed candidate.

    OMP_NUM_THREADS=1 python benchmarks/stages.py RUN [--append]
    python benchmarks/stages.py RUN --device cuda [--append]

RUN is a finished run directory of the default campaign. On one core each is measured beside a
rival: float32 for the two network stages; a new LAMMPS process for each structure for relaxation.

With ``--device cuda`` the two network stages are measured on a GPU and on one core of the same
machine, with the network of the run and with that of w_sigma5_paper.yaml, which sees every voxel
(``patch: 1``). Training steps include their data, which other processes draw ahead for a GPU. The
time of a compiled step is that after compilation, whose time is given too. ``--append`` adds the
table to benchmarks/RESULTS.md.
"""

import argparse
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
import torch

from gcd_hpc.engines.child import LammpsChild
from gcd_hpc.learning.boundary import BoundarySystem, load_boundary_system
from gcd_hpc.learning.network import boundary_network
from gcd_hpc.learning.painter import one_thread
from gcd_hpc.learning.sampler import Model, Sampler
from gcd_hpc.learning.sources import TrainingSource
from gcd_hpc.learning.training import BoundaryTraining, Process, measured_units, training_batches
from gcd_hpc.stages.ranking import lowest_learned
from gcd_hpc.stages.relaxing import ScreenWindow, relax_candidate
from gcd_hpc.store.parts import read_part
from gcd_hpc.store.run_directory import RunDirectory

RESULTS = Path(__file__).with_name("RESULTS.md")
CPU = torch.device("cpu")
TRAINING_BATCHES, SAMPLING_BATCHES = (4, 32), (10, 40, 120)


@dataclass(frozen=True)
class Steps:
    """Time of a training step."""

    first_s: float
    """The first step, with the compilation."""
    median_s: float


def with_settings(system: BoundarySystem, **sections: dict[str, object]) -> BoundarySystem:
    """The same system with other values of some keys of the campaign's sections."""
    config = system.config
    changed = {
        name: getattr(config, name).model_copy(update=keys) for name, keys in sections.items()
    }
    return replace(system, config=config.model_copy(update=changed))


def measured_steps(
    system: BoundarySystem, run_dir: Path, device: torch.device = CPU, num: int = 30
) -> Steps:
    """Time of training steps, data included. Without mosaics, whose steps cost more."""
    structures = read_part(RunDirectory(run_dir).training_set(1))
    plain = with_settings(system, training={"mosaics": 0.0})
    source = TrainingSource(plain, structures, "run")
    fit, held = training_batches([source], measured_units([source]), 1)
    state = BoundaryTraining(fit, held, Process(device), num)
    times = []
    for _ in range(num):
        started = time.perf_counter()
        state.trainer.advance()  # waits for the GPU
        times.append(time.perf_counter() - started)
    return Steps(times[0], float(np.median(times[num // 4 :])))


def candidate_seconds(
    system: BoundarySystem, run_dir: Path, device: torch.device = CPU, num: int = 30
) -> float:
    """Mean time to sample and decode a candidate."""
    sampler = replace(Sampler.load(run_dir, 1, device), system=system)
    sampler.sample(range(system.config.sampling.batch_size))
    started = time.perf_counter()
    sampler.sample(range(num))
    return (time.perf_counter() - started) / num


def generation_seconds(
    system: BoundarySystem, run_dir: Path, device: torch.device, num_batches: int = 3
) -> float:
    """Mean time to generate the voxels of a candidate in whole batches, with random weights."""
    sampler = replace(Sampler.load(run_dir, 1, device), system=system)
    network = boundary_network(system.config.network, system.channels).to(device).eval()
    sampler = replace(sampler, model=Model(network, sampler.model.card))
    size = system.config.sampling.batch_size
    drafts = [sampler.draft(index) for index in range(size)]
    if device.type == "cuda":
        sampler.generate(drafts)
    started = time.perf_counter()
    for _ in range(num_batches):
        sampler.generate(drafts)
    return (time.perf_counter() - started) / (num_batches * size)


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


def one_core(system: BoundarySystem, run_dir: Path) -> Iterator[str]:
    """Lines of the table of one core."""
    plain, auto = (
        with_settings(system, training={"precision": precision})
        for precision in ("float32", "auto")
    )
    yield f"## {date.today()}: stages on one core"
    yield from ("", f"{platform.machine()}, {processor()}; torch {torch.__version__}", "")
    yield "| what | ours, s | rival | rival, s | rival / ours | limit, s |"
    yield "|---|---|---|---|---|---|"
    measures: list[tuple[str, str, Callable[[], float], Callable[[], float], float]] = [
        (
            "training step, batch 4",
            "float32",
            lambda: measured_steps(auto, run_dir).median_s,
            lambda: measured_steps(plain, run_dir).median_s,
            0.20,
        ),
        (
            "sampled candidate",
            "float32",
            lambda: candidate_seconds(auto, run_dir),
            lambda: candidate_seconds(plain, run_dir),
            0.40,
        ),
        (
            "relaxed candidate",
            "a new LAMMPS process each",
            lambda: relaxation_seconds(system, run_dir, False),
            lambda: relaxation_seconds(system, run_dir, True),
            0.15,
        ),
    ]
    for what, rival, measure, measure_rival, limit in measures:
        ours, theirs = measure(), measure_rival()
        ratio = theirs / ours
        yield f"| {what} | {ours:.3f} | {rival} | {theirs:.3f} | {ratio:.2f} | {limit:.2f} |"


def on_gpu(system: BoundarySystem, run_dir: Path) -> Iterator[str]:
    """Lines of the table of a GPU beside one core."""
    gpu = torch.device("cuda", 0)
    yield f"## {date.today()}: network stages on a GPU and on one core"
    yield ""
    yield f"{torch.cuda.get_device_name(gpu)} beside {processor()}; torch {torch.__version__}"
    yield ""
    yield (
        "| network | what | batch | number type | GPU, ms | core, ms | core / GPU |"
        " GPU memory, MB | compilation, s |"
    )
    yield "|---|---|--:|---|--:|--:|--:|--:|--:|"
    networks = {"default": system, "paper": with_settings(system, network={"patch": 1})}
    for name, its_system in networks.items():
        yield from gpu_candidates(name, its_system, run_dir, gpu)
        if its_system is system:
            yield from gpu_decoded(name, system, run_dir, gpu)
        yield from gpu_steps(name, its_system, run_dir, gpu)
    for name, its_system in networks.items():
        yield from gpu_compiled_steps(name, its_system, run_dir, gpu)


def gpu_steps(name: str, system: BoundarySystem, run_dir: Path, gpu: torch.device) -> Iterator[str]:
    """Lines of the training steps of one network."""
    with one_thread():
        plain = with_settings(system, training={"compile": False})
        core = measured_steps(plain, run_dir, CPU, 8).median_s
    for size in TRAINING_BATCHES:
        for precision in ("float32", "bfloat16"):
            keys = {"batch_size": size, "precision": precision, "compile": False}
            torch.cuda.reset_peak_memory_stats(gpu)
            steps = measured_steps(with_settings(system, training=keys), run_dir, gpu, 60)
            beside = core if size == TRAINING_BATCHES[0] else None
            yield line(name, "training step", size, precision, steps.median_s, beside)


def gpu_compiled_steps(
    name: str, system: BoundarySystem, run_dir: Path, gpu: torch.device
) -> Iterator[str]:
    """Lines of the training steps of one compiled network."""
    for size in TRAINING_BATCHES:
        keys = {"batch_size": size, "precision": "bfloat16", "compile": True}
        torch.cuda.reset_peak_memory_stats(gpu)
        steps = measured_steps(with_settings(system, training=keys), run_dir, gpu, 60)
        compilation = f"{steps.first_s - steps.median_s:.1f}"
        how = "bfloat16, compiled"
        yield line(name, "training step", size, how, steps.median_s, None, compilation)


def gpu_candidates(
    name: str, system: BoundarySystem, run_dir: Path, gpu: torch.device
) -> Iterator[str]:
    """Lines of the sampling of one network."""
    sizes = {"batch_size": 2, "chunk_size": 2}
    with one_thread():
        core = generation_seconds(with_settings(system, sampling=sizes), run_dir, CPU, 1)
    for size in SAMPLING_BATCHES:
        for precision in ("float32", "bfloat16"):
            sizes = {"batch_size": size, "chunk_size": size}
            keys = {"precision": precision}
            its_system = with_settings(system, sampling=sizes, training=keys)
            torch.cuda.reset_peak_memory_stats(gpu)
            seconds = generation_seconds(its_system, run_dir, gpu)
            yield line(name, "voxels of a candidate", size, precision, seconds, core)


def gpu_decoded(
    name: str, system: BoundarySystem, run_dir: Path, gpu: torch.device
) -> Iterator[str]:
    """Lines of whole candidates of the run's own model."""
    with one_thread():
        core = candidate_seconds(system, run_dir, CPU, 10)
    for size in SAMPLING_BATCHES:
        sizes = {"batch_size": size, "chunk_size": size}
        torch.cuda.reset_peak_memory_stats(gpu)
        seconds = candidate_seconds(with_settings(system, sampling=sizes), run_dir, gpu, size)
        yield line(name, "candidate, decoded", size, "auto", seconds, core)


def line(
    name: str,
    what: str,
    size: int,
    how: str,
    gpu_s: float,
    core_s: float | None,
    compilation: str = "",
) -> str:
    """One line of the table of a GPU."""
    memory = torch.cuda.max_memory_allocated() / 1e6
    beside = " | | " if core_s is None else f" | {1e3 * core_s:.1f} | {core_s / gpu_s:.0f} "
    return (
        f"| {name} | {what} | {size} | {how} | {1e3 * gpu_s:.2f}{beside}| {memory:.0f} |"
        f" {compilation} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--append", action="store_true")
    options = parser.parse_args()
    system = load_boundary_system(str(options.run))
    if options.device == "cpu":
        torch.set_num_threads(1)
    measured = (one_core if options.device == "cpu" else on_gpu)(system, options.run)
    lines = []
    for text in measured:
        lines.append(text)
        print(text, flush=True)
    if options.append:
        with RESULTS.open("a") as stream:
            stream.write("\n" + "\n".join(lines) + "\n")


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
