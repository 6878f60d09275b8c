"""The toy's training, as torchrun starts it: rank 0 works."""

import os
import sys

from gcd_hpc.errors import GcdError
from gcd_hpc.stages.launched import report_error
from tests.campaign.toy import train

if __name__ == "__main__" and os.environ["RANK"] == "0":
    try:
        train(sys.argv[1], int(sys.argv[2]))
    except GcdError as error:
        sys.exit(report_error(error))
