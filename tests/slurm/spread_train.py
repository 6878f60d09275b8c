"""The toy's training; each process says where it is."""

import os
import sys

from tests.campaign.toy import train

if __name__ == "__main__":
    # In one write: all processes share the log.
    os.write(1, f"{os.environ['SLURMD_NODENAME']} {os.environ['RANK']} {os.environ['WORLD_SIZE']}\n".encode())
    if os.environ["RANK"] == "0":
        train(sys.argv[1], int(sys.argv[2]))
