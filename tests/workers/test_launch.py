import pickle
import shutil
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from gcd_hpc.config.site import SiteConfig
from gcd_hpc.errors import LaunchError
from gcd_hpc.workers import launch
from gcd_hpc.workers.allocation import resolve
from gcd_hpc.workers.backend import PausedError, ProcessLostError
from gcd_hpc.workers.launch import find_mpiexec, local_mpiexec, run
from gcd_hpc.workers.lines import launch_environment, sample_line, train_line
from gcd_hpc.workers.nodes import NodeSet
from tests.processes import command_of, is_alive

ROOT = Path(__file__).parents[2]
HERE = NodeSet(("localhost",), True, "127.0.0.1")


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_the_launcher_beside_python_is_found_without_an_activated_environment(
    monkeypatch, tmp_path
):
    beside = tmp_path / "bin" / "mpiexec"
    beside.parent.mkdir()
    beside.write_text("#!/bin/sh\n")
    beside.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(beside.parent / "python"))
    monkeypatch.setenv("PATH", "")
    assert find_mpiexec() == str(beside)


def test_a_launcher_on_the_path_is_found(monkeypatch, tmp_path):
    launcher = tmp_path / "srun-like"
    launcher.write_text("#!/bin/sh\n")
    launcher.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_mpiexec("srun-like") == str(launcher)


def test_a_missing_launcher_is_one_sentence_with_the_cure():
    with pytest.raises(
        LaunchError,
        match=r"there is no MPI launcher 'no-such-mpi' .* install one with: pip install",
    ):
        find_mpiexec("no-such-mpi")


def test_output_goes_to_the_log_and_the_environment_to_the_process(tmp_path):
    log = tmp_path / "logs" / "train-01.log"
    site = resolve(SiteConfig.model_validate({"cores": 6, "training": {"processes_per_node": 2}}))
    run(
        python("import os; print('threads', os.environ['OMP_NUM_THREADS'])"),
        log,
        launch_environment(site, site.training),
    )
    assert log.read_text() == "threads 3\n"


def test_a_second_attempt_adds_to_the_log(tmp_path):
    for word in ("one", "two"):
        run(python(f"print('{word}')"), tmp_path / "log", {})
    assert (tmp_path / "log").read_text() == "one\ntwo\n"


def test_an_error_repeats_the_last_lines_of_this_attempt(tmp_path):
    run(python("print('an old attempt')"), tmp_path / "log", {})
    with pytest.raises(LaunchError, match="the checkpoint is damaged") as caught:
        run(
            python("import sys; print('the checkpoint is damaged'); sys.exit(2)"),
            tmp_path / "log",
            {},
        )
    assert "ended with exit code 2" in str(caught.value)
    assert "an old attempt" not in str(caught.value)
    assert not isinstance(caught.value, ProcessLostError)


def test_the_sentence_of_a_stage_is_the_error(tmp_path):
    code = (
        "import sys; print('error: of a library'); from gcd_hpc.errors import StoreError;"
        " from gcd_hpc.stages.launched import report_error;"
        " sys.exit(report_error(StoreError('model.safetensors: expected 10 bytes, got 3')))"
    )
    with pytest.raises(
        LaunchError, match=r"^model.safetensors: expected 10 bytes, got 3 \(see .*log\)$"
    ):
        run(python(code), tmp_path / "log", {})


def test_the_report_of_a_launcher_does_not_hide_what_the_ranks_said(tmp_path):
    report = [
        "ZeroDivisionError: by zero",
        "E1121 04:33:19.4 17890 torch/distributed/elastic/api.py:1002] failed",
        *["=" * 60, "more"] * 20,
    ]
    with pytest.raises(LaunchError) as caught:
        run(
            python(f"import sys; print({chr(10).join(report)!r}); sys.exit(1)"),
            tmp_path / "log",
            {},
        )
    assert str(caught.value).endswith("log:\nZeroDivisionError: by zero")


def test_a_rank_that_torchrun_ended_after_an_error_is_not_a_lost_process(tmp_path):
    report = (
        "Failures:\n[1]:\n  exitcode  : -15 (pid: 2)\nRoot Cause (first observed failure):\n[0]:\n "
        " exitcode  : 1 (pid: 1)"
    )
    with pytest.raises(LaunchError) as caught:
        run(python(f"import sys; print({report!r}); sys.exit(1)"), tmp_path / "log", {})
    assert not isinstance(caught.value, ProcessLostError)


def test_a_killed_process_is_worth_another_try(tmp_path):
    with pytest.raises(ProcessLostError):
        run(python("import os; os.kill(os.getpid(), 9)"), tmp_path / "log", {})


@pytest.mark.mpi
@pytest.mark.parametrize("launcher", ["torchrun", "mpiexec"])
def test_a_killed_rank_is_told_from_a_rank_with_an_error(tmp_path, launcher):
    (tmp_path / "dies.py").write_text(
        "import os, sys\nif __name__ == '__main__':\n"
        "    os.kill(os.getpid(), 9) if sys.argv[1] == 'killed' else sys.exit(3)\n"
    )
    site = resolve(SiteConfig(cores=2, mpiexec=find_mpiexec()))
    environment = {**launch_environment(site, site.training), "PYTHONPATH": str(tmp_path)}

    def launch(how: str) -> None:
        torchrun = train_line(site, HERE, "dies", [how], "0" * 64, 1)
        run(
            torchrun if launcher == "torchrun" else sample_line(site, HERE, "dies", [how]),
            tmp_path / "log",
            environment,
        )

    with pytest.raises(ProcessLostError):
        launch("killed")
    with pytest.raises(LaunchError) as caught:
        launch("error")
    assert not isinstance(caught.value, ProcessLostError)


@pytest.mark.mpi
def test_a_torchrun_that_somebody_ended_is_worth_another_try(tmp_path):
    script = tmp_path / "wait.py"
    script.write_text("import time\nprint('begun', flush=True)\ntime.sleep(60)\n")
    line = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=1",
        str(script),
    ]

    def strike() -> None:
        while "begun" not in (tmp_path / "log").read_text():
            time.sleep(0.1)
        next(
            child for child in psutil.Process().children() if str(script) in command_of(child)
        ).terminate()

    (tmp_path / "log").touch()
    threading.Thread(target=strike, daemon=True).start()
    with pytest.raises(ProcessLostError, match="was killed"):
        run(line, tmp_path / "log", {})


@pytest.mark.mpi
def test_a_training_that_was_asked_to_stop_is_paused_not_failed(tmp_path):
    (tmp_path / "pauses.py").write_text(
        "import os, sys, time\nif __name__ == '__main__':\n"
        "    time.sleep(int(os.environ['RANK']))\n    sys.exit(os.EX_TEMPFAIL)\n"
    )
    site = resolve(SiteConfig(cores=2))
    environment = {**launch_environment(site, site.training), "PYTHONPATH": str(tmp_path)}
    with pytest.raises(PausedError, match=r"was paused; see .*log"):
        run(train_line(site, HERE, "pauses", [], "0" * 64, 1), tmp_path / "log", environment)


@pytest.mark.parametrize(
    ("said", "is_lost"),
    [
        ("srun: error: n2: task 1: Killed", True),
        ("srun: error: Node failure on n2", True),
        (
            (
                "slurmstepd: error: *** STEP 7.2 ON n1 CANCELLED AT 2026-11-21T07:00:00 DUE TO NODE"
                " FAILURE, SEE SLURMCTLD LOG ***"
            ),
            True,
        ),
        ("srun: error: n2: task 1: Exited with exit code 1", False),
        ("srun: error: n1: task 0: Terminated", False),
        (
            "srun: error: n2: task 1: Exited with exit code 1\nsrun: error: n1: task 0: Killed",
            False,
        ),
    ],
)
def test_srun_tells_a_lost_process_from_one_that_ended_with_an_error(tmp_path, said, is_lost):
    with pytest.raises(LaunchError) as caught:
        run(python(f"import sys; print({said!r}); sys.exit(1)"), tmp_path / "log", {})
    assert isinstance(caught.value, ProcessLostError) == is_lost


def test_children_do_not_outlive_a_launch(tmp_path):
    code = (
        "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', 'import time;"
        " time.sleep(100)']).pid, flush=True)"
    )
    run(python(code), tmp_path / "log", {})
    child = int((tmp_path / "log").read_text())
    deadline = time.monotonic() + 5
    while is_alive(child):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_error_survives_pickling():
    error = pickle.loads(pickle.dumps(ProcessLostError("torchrun lost a process")))
    assert isinstance(error, ProcessLostError)
    assert str(error) == "torchrun lost a process"


STARTS = (
    "import os, pathlib, time; pathlib.Path(os.environ['GCD_HPC_STARTED']).touch();"
    " time.sleep({0}); print('works', flush=True); time.sleep({1})"
)


def test_a_launch_that_hangs_before_all_its_processes_run_is_ended_and_worth_another_try(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(launch, "START_S", 2.0)
    monkeypatch.setattr(launch, "GRACE_S", 0.1)
    began = time.monotonic()
    with pytest.raises(
        ProcessLostError, match=r"did not start all its processes within [23] s and was ended; see"
    ):
        run(
            python("print('imports', flush=True); import time; time.sleep(60)"),
            tmp_path / "log",
            {},
        )
    assert time.monotonic() - began < 30


def test_a_launch_ends_with_the_workers_and_is_worth_another_try(tmp_path):
    log, closing = tmp_path / "log", threading.Event()
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"

    def close_once_it_runs() -> None:
        while not (log.exists() and log.read_text().endswith("\n")):
            time.sleep(0.01)
        closing.set()

    threading.Thread(target=close_once_it_runs).start()
    with pytest.raises(ProcessLostError, match="the launch was ended with the workers; see"):
        run(python(code), log, {}, closing=closing)
    assert not is_alive(int(log.read_text()))


def test_the_processor_time_of_a_launch_counts_the_processes_that_it_waited_for(tmp_path):
    burn = f"{sys.executable} -c 'import time\nwhile time.process_time() < 0.5: pass'"
    assert 1.0 <= run(["sh", "-c", f"{burn}\n{burn}"], tmp_path / "log", {}) < 2.0


def test_a_launch_may_take_longer_for_its_first_work_than_for_its_start(tmp_path, monkeypatch):
    monkeypatch.setattr(launch, "START_S", 2.0)
    run(python(STARTS.format(0, 4)), tmp_path / "log", {})
    monkeypatch.setattr(launch, "FIRST_WORK_S", 2.0)
    with pytest.raises(ProcessLostError, match=r"made no progress for [23] s"):
        run(python(STARTS.format(0, 60)), tmp_path / "log", {}, tmp_path / "progress")


def test_lines_in_the_log_do_not_shorten_the_time_for_the_first_work(tmp_path, monkeypatch):
    # A training says at once that it resumes; its first step may then take minutes.
    monkeypatch.setattr(launch, "MIN_SILENT_S", 0.5)
    monkeypatch.setattr(launch, "SILENT_GAPS", 1.0)
    run(python(STARTS.format(1, 3)), tmp_path / "log", {}, tmp_path / "progress")
    assert "works" in (tmp_path / "log").read_text()


def test_a_line_that_cannot_be_started_is_an_error(tmp_path):
    with pytest.raises(LaunchError, match="cannot be started"):
        run([str(tmp_path / "nothing")], tmp_path / "log", {})


def test_a_launch_that_wrote_nothing_on_a_full_disk_says_that_it_is_full(tmp_path, monkeypatch):
    with pytest.raises(LaunchError, match=r"exit code 1; it wrote nothing to .*log$"):
        run(python("import sys; sys.exit(1)"), tmp_path / "log", {})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    with pytest.raises(LaunchError, match=r"exit code 1; no space is left on the device of .*log$"):
        run(python("import sys; sys.exit(1)"), tmp_path / "log", {})


@pytest.mark.mpi
def test_a_lost_rank_of_gforker_is_noticed_although_it_ends_with_exit_code_0(tmp_path):
    launcher = local_mpiexec(find_mpiexec())
    assert launcher.endswith(".gforker")
    code = (
        "import os, time; os.environ['PMI_RANK'] == '1' and os.kill(os.getpid(), 9); time.sleep(9)"
    )
    with pytest.raises(ProcessLostError, match="a process of the launch was killed"):
        run([launcher, "-n", "2", *python(code)], tmp_path / "log", {})
