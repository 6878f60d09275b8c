"""What a launcher says to the processes that it starts, in environment variables, and what they
answer.
"""

import json
import os
import sys
from contextlib import suppress
from pathlib import Path

from gcd_hpc.errors import GcdError
from gcd_hpc.files import replacing

ERROR_NAME = "GCD_HPC_ERROR"
"""File in which a launched stage leaves the mistake that ended it, for its driver."""
STORE_NAME = "GCD_HPC_STORE"
"""File through which the processes of one machine find each other, without a listening socket."""
LAUNCHERS = (
    ("PMI_RANK", "PMI_SIZE"),  # mpiexec of MPICH, and srun --mpi=pmi2
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),  # mpiexec of Open MPI
    (
        "SLURM_PROCID",
        "SLURM_STEP_NUM_TASKS",
    ),  # srun; a batch script has the first too, but is one process
)


def launcher_rank() -> tuple[int, int]:
    """Number of this process among those of the innermost launcher, and how many they are; (0, 1)
    without one. MPI is not initialised.
    """
    for rank, size in LAUNCHERS:
        if rank in os.environ and size in os.environ:
            return int(os.environ[rank]), int(os.environ[size])
    return 0, 1


def report_error(error: GcdError) -> int:
    """Say what ended this stage, to a reader of its output and to the driver that launched it.

    Returns:
        the exit code.
    """
    print(f"error: {error}", file=sys.stderr, flush=True)
    if ERROR_NAME in os.environ:
        with suppress(OSError, GcdError), replacing(Path(os.environ[ERROR_NAME])) as temporary:
            temporary.write_text(json.dumps({"error": str(error)}))
    return error.exit_code


def reported_error(path: Path) -> str | None:
    """The sentence that a launched stage left, or None."""
    try:
        return str(json.loads(path.read_text())["error"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
