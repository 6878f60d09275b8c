"""Local launcher: ``python -m gcd_hpc.workers.ranks NUM MODULE ARGUMENT...`` starts NUM processes.

The processes find each other through a file that only this user can read. The stores of torchrun
would listen on all network interfaces without a password and unpickle what they receive.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from gcd_hpc.stages.launched import STORE_NAME

GRACE_S = 10.0
"""Time that the other processes have to exit after one has failed, before they are killed."""
POLL_S = 0.05
FORWARDED = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


def main(arguments: Sequence[str]) -> int:
    """Run the processes to their end, and forward signals to them.

    Returns:
        the exit code of the process that ended badly first, 128 + the signal that killed it, or 0.
    """
    num, module = int(arguments[0]), arguments[1]
    with tempfile.TemporaryDirectory(prefix="gcd-hpc-ranks-") as folder:
        processes: list[subprocess.Popen[bytes]] = []

        def forward(number: int, _: object) -> None:
            for process in processes:
                process.send_signal(number)

        # Handlers first, so that a signal during the start reaches the processes started so far.
        for number in FORWARDED:
            signal.signal(number, forward)
        # The environment variables are those of torchrun.
        for rank in range(num):
            variables = {
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(num),
                STORE_NAME: str(Path(folder) / "store"),
            }
            line = [sys.executable, "-m", module, *arguments[2:]]
            processes.append(subprocess.Popen(line, env={**os.environ, **variables}))
        return _wait(processes)


def _wait(processes: Sequence["subprocess.Popen[bytes]"]) -> int:
    """Wait for all processes; if one fails, end the others."""
    while True:
        codes = [process.poll() for process in processes]
        failed = next((rank for rank, code in enumerate(codes) if code), None)
        if failed is not None:
            break
        if None not in codes:
            return 0
        time.sleep(POLL_S)
    # The first failure decides the exit code, because the others are ended here.
    code = codes[failed]
    assert code is not None
    how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    print(f"process {failed} of {len(processes)} {how}", file=sys.stderr, flush=True)
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + GRACE_S
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return 128 - code if code < 0 else code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
