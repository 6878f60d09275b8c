"""The toy's sampling; each rank says where it is."""

import os
import sys

from mpi4py import MPI

from tests.campaign.toy import sample
from tests.slurm.spread_train import gpus

if __name__ == "__main__":
    shown = (os.environ["SLURMD_NODENAME"], MPI.COMM_WORLD.rank, MPI.COMM_WORLD.size, gpus())
    # In one write: all ranks share the log.
    os.write(1, " ".join(map(str, shown)).encode() + b"\n")
    if MPI.COMM_WORLD.rank == 0:
        sample(sys.argv[1], int(sys.argv[2]))
