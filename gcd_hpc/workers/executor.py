"""Parsl's executor, made safe against the end of its own interchange, and of terminals."""

import sys
from typing import Any

from parsl.executors import HighThroughputExecutor

ANSWER_S = 15.0
"""An interchange answers within milliseconds. Parsl would wait for a dead one for ever."""
INTERCHANGE = "parsl.executors.high_throughput.interchange"
# A session of its own: Ctrl-C goes to all processes of the terminal, and must not end the
# interchange before the driver has decided. The empty entry of sys.path is the working directory.
INTERCHANGE_LAUNCH_CMD = [
    sys.executable,
    "-c",
    (
        "import sys; sys.path = [path for path in sys.path if path];"
        f" import os, runpy; os.setsid(); runpy.run_module({INTERCHANGE!r}, run_name='__main__',"
        " alter_sys=True)"
    ),
]


class PromptExecutor(HighThroughputExecutor):
    """A HighThroughputExecutor that asks its interchange with a time limit."""

    def connected_managers(self) -> list[dict[str, Any]]:
        return self.command_client.run("MANAGERS", timeout_s=ANSWER_S)

    def connected_blocks(self) -> list[str]:
        return self.command_client.run("CONNECTED_BLOCKS", timeout_s=ANSWER_S)

    @property
    def is_cut_off(self) -> bool:
        """Whether the interchange has ended or does not answer."""
        return (
            self.interchange_proc is None
            or self.interchange_proc.poll() is not None
            or not self.command_client.ok
        )
