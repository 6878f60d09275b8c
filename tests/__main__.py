"""All checks in order, quickest first: ``python -m tests [pytest options]``. Ends with pytest's
closing line and exit code.

Three processes share the test files, the long ones first (``conftest.py``). That is one more than
the cores that the suite is made for, because some of the time goes into waiting for launchers,
schedulers, workers and heartbeats. Each more imports all tests and libraries once more.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
PARALLEL = ["-n", "3", "--dist", "loadfile", "--no-loadscope-reorder"]
# Without its cache, which does not notice that a module was removed.
CHECKS = (["ruff", "check", "--no-cache", "."], ["ruff", "format", "--check", "."], ["mypy"])


def main() -> int:
    # A shell starts commands in its background without SIGINT, and many tests end theirs with it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Tests start launchers by name: those of this environment come first, whether it is activated
    # or not.
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
    }
    # Hundreds of processes are started. Without bytecode files each would compile the package anew.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    failed = False
    for check in CHECKS:
        started = time.monotonic()
        code = subprocess.run([sys.executable, "-m", *check], cwd=ROOT, env=environment).returncode
        print(
            f"{' '.join(check)}: {'passed' if code == 0 else 'FAILED'} in"
            f" {time.monotonic() - started:.1f} s",
            flush=True,
        )
        failed |= code != 0
    code = subprocess.run(
        [sys.executable, "-m", "pytest", *PARALLEL, *sys.argv[1:]], cwd=ROOT, env=environment
    ).returncode
    return code or int(failed)


if __name__ == "__main__":
    sys.exit(main())
