"""The command line as a user types it, in a process of its own, without some of the packages."""

import os
import subprocess
import sys

# Fails on the first import of a name, as if the package were not installed.
HIDE = """
import sys
for name in {hidden!r}:
    sys.modules[name] = None
sys.argv = ["gcd-hpc", *{words!r}]
from gcd_hpc.cli import main
main()
"""


def call(*words: str, hidden: tuple[str, ...] = (), **environment: str) -> str:
    """What a command prints, with some packages hidden; standard error included."""
    code = HIDE.format(hidden=hidden, words=words)
    done = subprocess.run(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | environment,
        timeout=120,
    )
    text = done.stdout.decode(errors="replace")
    assert "Traceback" not in text, text
    return text
