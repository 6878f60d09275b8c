"""Core-seconds are processor time: of all processes of a task, and of no others."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial

import pytest
import torch

from gcd_hpc.learning.training import Process
from gcd_hpc.processor import processor_s, spent_s
from gcd_hpc.stages.record import find_record
from gcd_hpc.stages.relaxing import worker_child
from gcd_hpc.stages.search import search_chunk
from gcd_hpc.stages.table import Task
from gcd_hpc.stages.tasks import TaskRequest, carry_out
from gcd_hpc.stages.train import train
from gcd_hpc.stages.training_loop import Paused
from gcd_hpc.store.run_directory import RunDirectory
from tests.stages.conftest import launch, ranks_line
from tests.stages.test_record import SEARCH, write

BURN_S = 0.5
BURN = f"import sys, time\nwhile time.process_time() < {BURN_S}: pass\n"
WAITING = BURN + "print('done', flush=True)\nsys.stdin.read()"
LATE_RANK = """
import sys, time
from pathlib import Path
from gcd_hpc.stages import train
from gcd_hpc.stages.process_group import Ranks

def burn(step, num_steps):
    begin = time.process_time()
    while process.rank == 1 and step == 1 and time.process_time() < begin + 6.0:
        pass

if __name__ == "__main__":
    process = Ranks.join()
    train.train(Path(sys.argv[1]), 1, process, on_step=burn)
"""


@contextmanager
def crowded_core(num_others: int) -> Iterator[None]:
    """One core for this process and its new children, shared with a number of busy loops."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    # The loops are children of a shell, so that they are no children of the measured process.
    loop = f"{sys.executable} -c 'while True: pass' & " * num_others + "wait"
    shell = subprocess.Popen(["sh", "-c", loop], start_new_session=True)
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
        with suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()


def test_core_seconds_count_running_and_ended_children_and_no_neighbours(tmp_path):
    started = []

    def work() -> None:
        pipe = subprocess.PIPE
        started.append(subprocess.Popen([sys.executable, "-c", WAITING], stdin=pipe, stdout=pipe))
        started[0].stdout.readline()
        subprocess.run([sys.executable, "-c", BURN], check=True)
        write(tmp_path, SEARCH)

    with crowded_core(1):
        request = TaskRequest(str(tmp_path), SEARCH.name, 1, 1)
        record = carry_out(request, lambda: spent_s(work))
    started[0].communicate()
    # Two children burn half a second each. The rest is the start of Python and of this package.
    assert 2 * BURN_S <= record.cpu_s < 2 * BURN_S + 1.0
    assert record.seconds > 1.5 * record.cpu_s


@pytest.mark.lammps
@pytest.mark.slow
def test_a_task_costs_as_many_core_seconds_on_a_busy_machine_as_on_an_idle_one(run_copy):
    records = []
    for num_others in (0, 1):
        run_dir = run_copy(f"beside-{num_others}")
        RunDirectory(run_dir).search_part(0).unlink()
        request = TaskRequest(str(run_dir), "search-00000", 1, 1)
        with crowded_core(num_others):
            search = partial(search_chunk, str(run_dir), 0)
            records.append(carry_out(request, partial(spent_s, search)))
        worker_child(str(run_dir)).close()
    alone, beside = records
    # Half a core takes twice as long, but other processes share its caches and its second hardware
    # thread, which costs the work itself up to a third.
    assert beside.cpu_s == pytest.approx(alone.cpu_s, rel=0.4)
    assert beside.seconds > 1.5 * beside.cpu_s


@pytest.mark.slow
@pytest.mark.lammps
def test_the_record_of_a_training_states_the_processor_time_of_all_ranks(run_copy, tmp_path):
    run_dir = run_copy("late-rank")
    (tmp_path / "late_rank.py").write_text(LATE_RANK)
    launch(ranks_line(2, "late_rank", run_dir), PYTHONPATH=str(tmp_path))
    record = find_record(run_dir, Task("train", 1), 1)
    # Rank 1 alone works for 6 s, while rank 0, which writes the record, waits for it. Its own start
    # and training take 3 s.
    assert record is not None
    assert record.cpu_s > 6.0


@pytest.mark.lammps
def test_the_record_of_a_resumed_training_counts_the_sessions_before_its_pause(run_copy):
    run_dir = run_copy("paused")
    files, process = RunDirectory(run_dir), Process(torch.device("cpu"))
    burnt_s = 1.5

    def burn(step: int, num_steps: int) -> None:
        begin = time.process_time()
        while step == 1 and time.process_time() < begin + burnt_s:
            pass

    files.pause.touch()
    with pytest.raises(Paused):
        train(run_dir, 1, process, on_step=burn)
    files.pause.unlink()
    before_s = processor_s()
    train(run_dir, 1, process)
    resumed_s = processor_s() - before_s
    record = find_record(run_dir, Task("train", 1), 1)
    assert record is not None
    # What surrounds the record, such as writing the model file, takes less than a tenth.
    assert record.cpu_s > 0.9 * resumed_s + burnt_s
