"""What a launcher says to the processes that it starts, in environment variables."""

import os

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
