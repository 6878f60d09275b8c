"""The toy's sampling, as mpiexec starts it: rank 0 works."""

import os
import sys

from tests.campaign.toy import sample, sample_task

__all__ = ["sample_task"]

if __name__ == "__main__" and os.environ.get("PMI_RANK", "0") == "0":
    sample(sys.argv[1], int(sys.argv[2]))
