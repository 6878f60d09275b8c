"""The loop of a child process: jobs come in through a connection, and answers go out."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Protocol

import numpy as np

from gcd_hpc.engines.messages import pack, unpack
from gcd_hpc.processes import die_with_parent

Arrays = dict[str, np.ndarray]


class Answering(Protocol):
    """A worker: it introduces itself once and then answers jobs."""

    def introduction(self) -> dict[str, Any]:
        """First message of the process, which says that it is ready."""

    def answer(self, header: dict[str, Any], arrays: Arrays) -> tuple[dict[str, Any], Arrays]:
        """Run one job; an answer with the key ``error`` says why it failed."""


def serve(make_worker: Callable[[], Answering], starts_others: bool = False) -> None:
    """Make a worker and answer the jobs of the process that started this one, until it ends.

    The arguments of the command line are the parent's process id and the connection's handle.

    Args:
        starts_others: whether the worker starts processes, which must end with the parent too.
    """
    parent, handle = map(int, sys.argv[1:])
    if starts_others:
        _end_group_at_sigterm()
    die_with_parent(parent, signal.SIGTERM if starts_others else signal.SIGKILL)
    # Ctrl-C reaches the whole process group; only the parent handles it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    worker = make_worker()
    with Connection(handle) as parent_end, contextlib.suppress(EOFError):
        parent_end.send_bytes(pack(worker.introduction()))
        while True:
            parent_end.send_bytes(pack(*worker.answer(*unpack(parent_end.recv_bytes()))))


def _end_group_at_sigterm() -> None:
    """Let a thread kill this process group, which is this process' own, at the signal SIGTERM.

    A handler would run only when the native code of the main thread returns.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def wait() -> None:
        signal.sigwait({signal.SIGTERM})
        os.killpg(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()
