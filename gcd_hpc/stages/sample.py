"""Sampling of a round on MPI ranks: ``mpiexec -n R python -m gcd_hpc.stages.sample RUN VERSION``.

Each chunk is one part file, written completely by one rank; existing chunks are skipped.
``sample_task`` makes the same chunks one by one in a worker.
"""

import functools
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from gcd_hpc.errors import GcdError, LaunchError
from gcd_hpc.learning.boundary import load_boundary_system
from gcd_hpc.learning.sampler import Sampler
from gcd_hpc.stages.launched import launcher_rank, report_error, report_start
from gcd_hpc.stages.ranking import batches_of, lowest_learned, queue_entries, with_score
from gcd_hpc.stages.record import begin
from gcd_hpc.stages.relaxing import worker_child
from gcd_hpc.stages.result import StageResult
from gcd_hpc.stages.table import Task
from gcd_hpc.store.run_directory import RunDirectory, chunk_indices, num_chunks
from gcd_hpc.store.schema import Candidate


def sample_task(run_dir: str, version: int, chunk: int) -> StageResult:
    """Sample and score one chunk in this worker, and rank its batches for relaxation."""
    begun = begin(Task("sample", version, chunk))
    torch.set_num_threads(1)  # more threads would change the order of sums, and so the last bits
    folder, system = Path(run_dir), load_boundary_system(run_dir)
    sampling, path = system.config.sampling, RunDirectory(folder).sampled_part(version, chunk)
    indices = range(chunk * sampling.chunk_size, (chunk + 1) * sampling.chunk_size)
    child = worker_child(run_dir)
    # Sample, score by a short minimisation, and rank the batches.
    made = kept_sampler(run_dir, version).sample(indices)
    rows = [with_score(system, child, row) for row in made]
    batches = batches_of(
        rows, lowest_learned(folder, version), num_chunks(sampling.chunk_size, sampling.relax_batch)
    )
    num_plane = system.bicrystal.atoms_per_plane
    scores = queue_entries(batches)
    result = replace(sampled_result(rows), atoms_per_plane=num_plane, queue=scores)
    return begun.write(path, rows, system.config, result)


def sampled_result(rows: list[Candidate]) -> StageResult:
    """Result of a chunk of candidates that are not relaxed yet."""
    num_invalid = sum(row.status == "invalid" for row in rows)
    seconds = sum(row.sample_s for row in rows)
    return StageResult(
        num=len(rows), ok=len(rows) - num_invalid, invalid=num_invalid, seconds=seconds
    )


@functools.lru_cache(maxsize=1)  # models of earlier rounds are not needed again
def kept_sampler(run_dir: str, version: int) -> Sampler:
    """Sampler of the current round, kept for all chunks of this worker."""
    return Sampler.load(run_dir, version)


def device_of(on_node: int) -> str:
    """GPU of the rank with this number within its node, or the CPU where there is none."""
    return f"cuda:{on_node % torch.cuda.device_count()}" if torch.cuda.is_available() else "cpu"


def sample_chunks(
    run_dir: Path, version: int, rank: int, num_ranks: int, device: str
) -> Iterator[int]:
    """Sample this rank's share of the chunks that are not on disk yet; yield each when it is."""
    files = RunDirectory(run_dir)
    config = load_boundary_system(str(run_dir)).config
    num, size = config.sampling.num_candidates, config.sampling.chunk_size
    sampler = Sampler.load(run_dir, version, device)
    # Chunks go to the ranks in turn. Candidates depend on their index only, not on the rank.
    for chunk in range(rank, num_chunks(num, size), num_ranks):
        path = files.sampled_part(version, chunk)
        if not path.exists():
            begun = begin(Task("sample", version, chunk), num_ranks)
            rows = sampler.sample(chunk_indices(num, size, chunk))
            begun.write(path, rows, config, sampled_result(rows))
            yield chunk


def main(arguments: list[str]) -> int:
    from mpi4py import MPI  # a late import, because it initialises MPI

    run_dir, version = Path(arguments[0]), int(arguments[1])
    rank, num_ranks = MPI.COMM_WORLD.rank, MPI.COMM_WORLD.size
    on_node = MPI.COMM_WORLD.Split_type(MPI.COMM_TYPE_SHARED).rank
    report_start()  # the split needed all ranks
    torch.set_num_threads(1)  # more threads would change the order of sums, and so the last bits
    try:
        if num_ranks == 1 < launcher_rank()[1]:
            raise LaunchError(
                f"{launcher_rank()[1]} processes were started, but MPI takes each for a single"
                " rank; try srun --mpi=pmi2 or pmix"
            )
        device = device_of(on_node)
        for chunk in sample_chunks(run_dir, version, rank, num_ranks, device):
            print(f"chunk {chunk} by rank {rank} of {num_ranks} on {device}", flush=True)
    except GcdError as error:
        return report_error(error)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
