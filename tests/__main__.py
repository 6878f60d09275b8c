"""All checks: ``python -m tests [pytest options]``. What failed beside the tests is named after
pytest's closing line.

Three processes share the test files, the long ones first (``conftest.py``). That is one more than
the cores that the suite is made for, because some of the time goes into waiting for launchers,
schedulers, workers and heartbeats. Each more imports all tests and libraries once more. The types
are checked beside the first tests.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PARALLEL = ["-n", "3", "--dist", "loadfile", "--no-loadscope-reorder"]
# Without its cache, which does not notice that a module was removed.
STYLE = (["ruff", "check", "--no-cache", "."], ["ruff", "format", "--check", "."])


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

    def start(*words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-m", *words], cwd=ROOT, env=environment)

    checks = {" ".join(check): start(*check).wait() for check in STYLE}
    types = start("mypy")
    tests = start("pytest", *PARALLEL, *sys.argv[1:]).wait()
    checks["mypy"] = types.wait()
    failed = [check for check, code in checks.items() if code]
    if failed:
        print("FAILED: " + ", ".join(failed), flush=True)
    return tests or int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
