"""Which of the processes of a launcher this is, without initialising MPI."""

import os

LAUNCHERS = (
    ("PMI_RANK", "PMI_SIZE"),  # mpiexec of MPICH, and srun --mpi=pmi2
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),  # mpiexec of Open MPI
    (
        "SLURM_PROCID",
        "SLURM_STEP_NUM_TASKS",
    ),  # srun; a batch script has the first too, but is one process
)


def placement() -> tuple[int, int]:
    """Number of this process among those of the innermost launcher, and how many they are; (0, 1)
    without one.
    """
    for rank, size in LAUNCHERS:
        if rank in os.environ and size in os.environ:
            return int(os.environ[rank]), int(os.environ[size])
    return 0, 1
