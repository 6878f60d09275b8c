"""How processes of this package begin and end together."""

import ctypes
import os
import signal
import sys

CAN_FORK = sys.platform == "linux"
"""True where a process may fork after its imports. Libraries of other systems start threads."""


def die_with_parent(parent: int, by: signal.Signals = signal.SIGKILL) -> None:
    """Let Linux send a signal to this process when its parent ends, in whatever way."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None, use_errno=True).prctl(set_parent_death_signal, by, 0, 0, 0)
    if os.getppid() != parent:  # the parent ended before prctl
        os._exit(1)
