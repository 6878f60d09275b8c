"""Looks at processes that end meanwhile."""

import signal
import subprocess
import sys

import psutil

from tests.processes import command_of, is_alive, send


def test_a_process_that_has_ended_has_no_command_takes_no_signal_and_raises_nothing():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        process = psutil.Process(child.pid)
        while "input()" not in command_of(process):
            pass  # between fork and exec
        assert is_alive(child.pid)
        assert send(process, signal.SIGKILL)
        while is_alive(child.pid):
            pass
        # First a zombie, then gone.
        assert "input()" not in command_of(process)
        child.wait()
        assert command_of(process) == ""
        assert not send(process, signal.SIGKILL) and not is_alive(child.pid)
