"""The time limit of the LAMMPS child counts processor time."""

import os
import signal
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from gcd_hpc.engines import child as child_module
from gcd_hpc.engines.child import LammpsChild
from gcd_hpc.engines.jobs import Anneal, RelaxJob
from gcd_hpc.engines.potentials import Potential
from gcd_hpc.engines.process import EngineProcess
from gcd_hpc.errors import SimulationError
from tests.engines.conftest import MINUTES_OF_DYNAMICS
from tests.processes import is_alive

pytestmark = pytest.mark.lammps


@pytest.fixture
def sent_to(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Process ids in the order in which they got jobs."""
    pids: list[int] = []
    send = EngineProcess.send

    def counted(self: EngineProcess, message: bytes) -> None:
        pids.append(self.pid)
        send(self, message)

    monkeypatch.setattr(EngineProcess, "send", counted)
    return pids


@pytest.mark.parametrize(("copies", "allowed_s"), [(1, 0.5), (3, 1.0)])
def test_the_time_limit_is_for_every_thousand_atoms_begun(
    copies: int,
    allowed_s: float,
    potential: Potential,
    job: RelaxJob,
    monkeypatch: pytest.MonkeyPatch,
):
    """374 atoms here: one limit. Three times the slab along x: two."""
    monkeypatch.setattr(child_module, "NUM_TIMEOUTS", 1)
    width = np.array([job.box[1, 0] - job.box[0, 0], 0.0, 0.0])
    positions = np.concatenate([job.positions + copy * width for copy in range(copies)])
    wide = replace(
        job,
        positions=positions,
        box=job.box * [copies, 1.0, 1.0],
        fixed=np.tile(job.fixed, copies),
        rigid=np.tile(job.rigid, copies),
        anneal=MINUTES_OF_DYNAMICS,
    )
    monkeypatch.setattr(child_module, "SECONDS_PER_ATOM_STEP", 0.0)
    with LammpsChild(potential, 0.5) as child:
        started = time.perf_counter()
        with pytest.raises(
            SimulationError,
            match=f"within {allowed_s:g} s of processor time .* raise relaxation.timeout_s",
        ):
            child.relax(wide)
        assert time.perf_counter() - started >= allowed_s


def test_a_job_that_exceeds_its_time_is_tried_once_more(
    potential: Potential, job: RelaxJob, sent_to: list[int], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(child_module, "SECONDS_PER_ATOM_STEP", 0.0)
    # No machine counts as slow, which would have more time.
    monkeypatch.setattr(child_module, "USUAL_S", 1.0)
    with LammpsChild(potential, 0.3) as child:
        with pytest.raises(SimulationError, match=r"0\.3 s of processor time"):
            child.relax(replace(job, anneal=MINUTES_OF_DYNAMICS))
        assert len(set(sent_to)) == 2


def test_a_suspended_child_loses_nothing(potential: Potential, job: RelaxJob, sent_to: list[int]):
    """It sleeps for more than twice its limit; nothing is tried again."""
    annealed = replace(job, anneal=Anneal(1500.0, 200, 0.002, 5))
    with LammpsChild(potential, 60.0) as child:
        before, pid = child.relax(annealed), child.pid
        assert pid is not None
        child.timeout_s = 2.0
        os.kill(pid, signal.SIGSTOP)
        timer = threading.Timer(5.0, os.kill, (pid, signal.SIGCONT))
        timer.start()
        after = child.relax(annealed)
        timer.join()
        assert sent_to == [pid, pid]
    np.testing.assert_array_equal(after.positions, before.positions)


def test_a_hung_child_is_replaced_in_seconds(
    potential: Potential, job: RelaxJob, monkeypatch: pytest.MonkeyPatch
):
    """A job of 0.1 s has 2 s on the clock, and a new child is there at once."""
    with LammpsChild(potential, 60.0) as child:
        before, pid = child.relax(job), child.pid
        assert pid is not None
        monkeypatch.setattr(child_module, "NUM_TIMEOUTS", 1)
        child.timeout_s = 0.1
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(SimulationError, match=r"2 s on the clock, of which it computed 0\.0 s"):
            child.relax(job)
        child.timeout_s = 60.0
        np.testing.assert_array_equal(child.relax(job).positions, before.positions)
        assert child.pid != pid
    assert not is_alive(pid)
