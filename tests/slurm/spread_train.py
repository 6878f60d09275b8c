"""The toy's training; each process says where it is."""

import os
import sys

SHOWN = ("SLURMD_NODENAME", "RANK", "WORLD_SIZE")


def gpus() -> str:
    """GPUs that this process may use."""
    return os.environ.get("CUDA_VISIBLE_DEVICES") or "none"


if __name__ == "__main__":
    # In one write: all processes share the log.
    shown = [*(os.environ[name] for name in SHOWN), gpus()]
    os.write(1, " ".join(shown).encode() + b"\n")
    if os.environ["RANK"] == "0":
        # Imported here: the others have written their lines before this one may kill itself.
        from tests.campaign.toy import train

        train(sys.argv[1], int(sys.argv[2]))
