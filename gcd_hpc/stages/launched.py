"""Environment variables and files that connect a launched process with its launcher."""

import json
import os
import sys
from contextlib import suppress
from pathlib import Path

from gcd_hpc.errors import GcdError
from gcd_hpc.files import replacing

ERROR_NAME = "GCD_HPC_ERROR"
"""Variable with the path of the file in which a launched stage reports its error."""
STARTED_NAME = "GCD_HPC_STARTED"
"""Variable with the path of the file that a launched stage makes once all its processes run."""
STORE_NAME = "GCD_HPC_STORE"
"""Variable with the path of the rendezvous file for processes of one machine."""
PAUSED = os.EX_TEMPFAIL
"""Exit code of a training that paused and can resume from its checkpoint."""
LAUNCHERS = (
    ("PMI_RANK", "PMI_SIZE"),  # mpiexec of MPICH, and srun --mpi=pmi2
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),  # mpiexec of Open MPI
    (
        "SLURM_PROCID",
        "SLURM_STEP_NUM_TASKS",
    ),  # srun; SLURM_PROCID alone would also be set in a batch script
)


def launcher_rank() -> tuple[int, int]:
    """Rank of this process in the innermost launch and its size, without MPI; else (0, 1)."""
    for rank, size in LAUNCHERS:
        if rank in os.environ and size in os.environ:
            return int(os.environ[rank]), int(os.environ[size])
    return 0, 1


def report_start() -> None:
    """Tell the launcher that every process has imported its modules and met the others."""
    if STARTED_NAME in os.environ:
        with suppress(OSError):
            Path(os.environ[STARTED_NAME]).touch()


def report_error(error: GcdError) -> int:
    """Print the error of this stage, and report it to the driver that launched it.

    Returns:
        the exit code.
    """
    print(f"error: {error}", file=sys.stderr, flush=True)
    if ERROR_NAME in os.environ:
        with suppress(OSError, GcdError), replacing(Path(os.environ[ERROR_NAME])) as temporary:
            temporary.write_text(json.dumps({"error": str(error)}))
    return error.exit_code


def reported_error(path: Path) -> str | None:
    """Error message that a launched stage reported, or None."""
    try:
        return str(json.loads(path.read_text())["error"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
