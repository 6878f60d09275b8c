"""Reading the ledger of a large campaign: all of it, and what was added since.

    python benchmarks/ledger.py [--num 1000000]

Writes the events of a simulated search again and again until there are enough, each time for other
chunks, and prints the processor time and the memory of reading them.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path

from gcd_hpc.accounts.rehearsal import Pace, Rehearsal
from gcd_hpc.campaign.events import Event, Finished, Paused, Submitted, to_line
from gcd_hpc.campaign.ledger import LedgerReader
from gcd_hpc.stages.plan import Plan
from gcd_hpc.stages.table import Task
from gcd_hpc.store.run_directory import RunDirectory

NUM_CHUNKS = 5_000
PLAN = Plan(NUM_CHUNKS, 1, 0, relaxation_workers=100, chunk_sizes={"search": 20}, until="search")


def events() -> Iterator[Event]:
    """A search without an end."""
    simulated = Rehearsal(PLAN, Pace(lost=0.0)).run().events
    yield replace(simulated[0], ledger=2)
    shift = 0
    while True:
        for event in simulated[1:]:
            if isinstance(event, Finished):
                yield replace(event, task=Task("search", 0, event.task.chunk + shift))
            elif isinstance(event, Submitted):
                for task in event.tasks:
                    yield replace(event, tasks=(Task("search", 0, task.chunk + shift),))
        shift += NUM_CHUNKS


def write(path: Path, num: int) -> int:
    """A ledger of ``num`` events. Returns its checksum."""
    crc = 0
    with open(path, "wb") as file:
        for event in islice(events(), num):
            line, crc = to_line(event, crc)
            file.write(line)
    return crc


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--num", type=int, default=1_000_000, help="events")
    num = parser.parse_args().num
    with tempfile.TemporaryDirectory() as folder:
        path = RunDirectory(folder).ledger
        # In a process of its own: the simulation takes memory too.
        with ProcessPoolExecutor(1) as pool:
            crc = pool.submit(write, path, num).result()
        held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        reader, started = LedgerReader(Path(folder)), time.process_time()
        state = reader.refresh()
        seconds = time.process_time() - started
        assert state is not None
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(
            f"{num:,} events, {path.stat().st_size / 1e6:.0f} MB, {len(state.finished):,} finished"
            f" tasks: {seconds:.1f} s, {(peak - held) / 1e3:.0f} MB more"
        )
        with open(path, "ab") as file:
            file.write(to_line(Paused(elapsed_s=1.0), crc)[0])
        started = time.process_time()
        reader.refresh()
        print(f"one event more: {1000 * (time.process_time() - started):.1f} ms")


if __name__ == "__main__":
    main()
