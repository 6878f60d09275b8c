"""Relaxation of a round: ``srun python -m gcd_hpc.stages.relax RUN VERSION``.

Each chunk is one part file, written completely by one process. Any number of processes share the
chunks that are not on disk yet.
"""

import sys
from pathlib import Path

from gcd_hpc.errors import GcdError
from gcd_hpc.learning.boundary import load_boundary_system
from gcd_hpc.stages.launched import launcher_rank, report_error
from gcd_hpc.stages.ranking import batches_of, lowest_learned
from gcd_hpc.stages.record import begin
from gcd_hpc.stages.relaxing import ScreenWindow, relax_candidate, worker_child, write_relaxed
from gcd_hpc.stages.result import StageResult
from gcd_hpc.stages.table import Task
from gcd_hpc.store.parts import read_part
from gcd_hpc.store.run_directory import RunDirectory, num_chunks


def relax_chunk(run_dir: str, version: int, chunk: int, num_batches: int = 1) -> StageResult:
    """Relax one batch of sampled structures; invalid ones pass unchanged, failures keep a reason.

    Args:
        chunk: number of the relaxed part: batch ``chunk % num_batches`` of the sampled part
            ``chunk // num_batches``.
    """
    begun = begin(Task("relax", version, chunk))
    system, folder = load_boundary_system(run_dir), Path(run_dir)
    lowest = lowest_learned(folder, version)
    sampled = read_part(RunDirectory(folder).sampled_part(version, chunk // num_batches))
    batch = batches_of(sampled, lowest, num_batches)[chunk % num_batches]
    window = ScreenWindow(system.config.relaxation.screen_window_j_m2, lowest)
    child = worker_child(run_dir)
    rows = [
        (
            relax_candidate(system, child, row, window, run_dir=folder)
            if row.status == "sampled"
            else row
        )
        for row in batch
    ]
    part = RunDirectory(folder).relaxed_part(version, chunk)
    return write_relaxed(begun, part, rows, system, window.lowest)


def main(arguments: list[str]) -> int:
    run_dir, version = Path(arguments[0]), int(arguments[1])
    rank, num_processes = launcher_rank()
    try:
        sampling = load_boundary_system(str(run_dir)).config.sampling
        for chunk in range(
            rank, num_chunks(sampling.num_candidates, sampling.chunk_size), num_processes
        ):
            if RunDirectory(run_dir).relaxed_part(version, chunk).exists():
                continue
            done = relax_chunk(str(run_dir), version, chunk)
            print(
                f"chunk {chunk} by process {rank} of {num_processes}: {done.ok} ok,"
                f" {done.failed} failed, {done.invalid} invalid in {done.seconds:.1f} s",
                flush=True,
            )
    except GcdError as error:
        return report_error(error)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
