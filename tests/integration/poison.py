"""The real search stage with poison in it: tries that crash LAMMPS, hang it, or are no structures
at all.

Imported by the workers of ``test_poison``. ``finished-<pid>`` beside the parts has a line with the
time for every try that a worker ended.
"""

import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np

from gcd_hpc.engines import child
from gcd_hpc.engines.process import EngineProcess
from gcd_hpc.stages import search
from gcd_hpc.store.schema import Candidate

KINDS = ("crash", "hang", "not finite", "overlap")
SIGNALS = {"crash": signal.SIGSEGV, "hang": signal.SIGSTOP}
REASONS = {
    "crash": "the LAMMPS process was ended by signal 11",
    "hang": "LAMMPS gave no answer within",
    "not finite": "positions are not finite",
    "overlap": "atoms overlap",
}


def poison_of(index: int) -> str | None:
    """What is wrong with a try: two of five in turn."""
    number, place = divmod(index, 5)
    if place not in (1, 3):
        return None
    return KINDS[(2 * number + place // 2) % len(KINDS)]


def search_chunk(run_dir: str, chunk: int) -> dict:
    """A chunk of the real search, poisoned."""
    real_relax, real_send = search.relax_candidate, EngineProcess.send
    marks = Path(run_dir) / f"finished-{os.getpid()}"
    waiting: list[signal.Signals] = []

    def relax(system, lammps, candidate: Candidate, window, anneal, folder) -> Candidate:
        kind = poison_of(candidate.index)
        waiting[:] = [SIGNALS[kind]] if kind in SIGNALS else []
        row = real_relax(system, lammps, poisoned(candidate, kind), window, anneal, folder)
        with marks.open("a") as file:
            file.write(f"{time.monotonic()}\n")
        return row

    def send(process: EngineProcess, message: bytes) -> None:
        """A crash is not tried again; what hangs hangs at the second try as well."""
        real_send(process, message)
        for number in waiting:
            os.kill(process.pid, number)

    with marks.open("a") as file:
        file.write(f"{time.monotonic()}\n")
    with (
        patch.object(search, "relax_candidate", relax),
        patch.object(EngineProcess, "send", send),
        patch.object(child, "PATIENCE", 1.0),
    ):
        return search.search_chunk(run_dir, chunk)


def poisoned(candidate: Candidate, kind: str | None) -> Candidate:
    """The candidate with positions that no LAMMPS may get; two atoms in one place, or a heap of all
    those in the middle.
    """
    positions = candidate.unrelaxed_positions.copy()
    middle = np.argsort(np.abs(positions[:, 2] - positions[:, 2].mean()))[:50]
    if kind == "not finite":
        positions[middle[0]] = np.nan
    elif kind == "overlap" and candidate.index // 10 % 2:
        positions[middle[0]] = positions[middle[1]]
    elif kind == "overlap":
        positions[middle] = positions[middle[0]] + 0.001 * positions[middle]
    return replace(candidate, unrelaxed_positions=positions)
