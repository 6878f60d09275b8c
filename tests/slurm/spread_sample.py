"""The toy's sampling; each rank says where it is."""

import os
import sys

from mpi4py import MPI

from tests.campaign.toy import sample

if __name__ == "__main__":
    # In one write: all ranks share the log.
    os.write(
        1, f"{os.environ['SLURMD_NODENAME']} {MPI.COMM_WORLD.rank} {MPI.COMM_WORLD.size}\n".encode()
    )
    if MPI.COMM_WORLD.rank == 0:
        sample(sys.argv[1], int(sys.argv[2]))
