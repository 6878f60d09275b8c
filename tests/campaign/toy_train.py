"""The toy's training, as torchrun starts it: rank 0 works."""

import os
import sys

from gcd_hpc.errors import GcdError
from tests.campaign.toy import train

if __name__ == "__main__" and os.environ["RANK"] == "0":
    try:
        train(sys.argv[1], int(sys.argv[2]))
    except GcdError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
