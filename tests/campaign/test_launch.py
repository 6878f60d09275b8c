import pickle
import sys
import time
from pathlib import Path

import psutil
import pytest

from gcd_hpc.campaign.launch import ProcessLostError, find_mpiexec, launch_environment, mpiexec_line, run, torchrun_line
from gcd_hpc.errors import LaunchError

ROOT = Path(__file__).parents[2]


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_launch_lines_start_the_running_python():
    assert torchrun_line(2, "a.train", ["run", "1"]) == [
        *[sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"],
        *["-m", "a.train", "run", "1"],
    ]
    line = mpiexec_line("/bin/mpiexec", 3, "a.sample", ["run", "1"])
    assert line == ["/bin/mpiexec", "-n", "3", sys.executable, "-m", "a.sample", "run", "1"]


def test_the_launcher_beside_python_is_found_without_an_activated_environment(monkeypatch, tmp_path):
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
    with pytest.raises(LaunchError, match=r"no MPI launcher: expected 'no-such-mpi' .* install one with: pip install"):
        find_mpiexec("no-such-mpi")


def test_output_goes_to_the_log_and_the_environment_to_the_process(tmp_path):
    log = tmp_path / "logs" / "train-01.log"
    run(python("import os; print('threads', os.environ['OMP_NUM_THREADS'])"), log, launch_environment(3))
    assert log.read_text() == "threads 3\n"


def test_a_second_attempt_adds_to_the_log(tmp_path):
    for word in ("one", "two"):
        run(python(f"print('{word}')"), tmp_path / "log", {})
    assert (tmp_path / "log").read_text() == "one\ntwo\n"


def test_an_error_repeats_the_last_lines_of_this_attempt(tmp_path):
    run(python("print('an old attempt')"), tmp_path / "log", {})
    with pytest.raises(LaunchError, match="the checkpoint is damaged") as caught:
        run(python("import sys; print('the checkpoint is damaged'); sys.exit(2)"), tmp_path / "log", {})
    assert "ended with exit code 2" in str(caught.value)
    assert "an old attempt" not in str(caught.value)
    assert not isinstance(caught.value, ProcessLostError)


def test_the_sentence_of_a_stage_is_the_error(tmp_path):
    code = "import sys; print('loading'); print('error: model.safetensors: expected 10 bytes, got 3', file=sys.stderr); sys.exit(2)"
    with pytest.raises(LaunchError, match=r"^model.safetensors: expected 10 bytes, got 3 \(from .*; see .*log\)$"):
        run(python(code), tmp_path / "log", {})


def test_the_report_of_a_launcher_does_not_hide_what_the_ranks_said(tmp_path):
    report = [
        "ZeroDivisionError: by zero",
        "E1121 04:33:19.4 17890 torch/distributed/elastic/api.py:1002] failed",
        *["=" * 60, "more"] * 20,
    ]
    with pytest.raises(LaunchError) as caught:
        run(python(f"import sys; print({chr(10).join(report)!r}); sys.exit(1)"), tmp_path / "log", {})
    assert str(caught.value).endswith("log:\nZeroDivisionError: by zero")


def test_a_rank_that_torchrun_ended_after_an_error_is_not_a_lost_process(tmp_path):
    report = "Failures:\n[1]:\n  exitcode  : -15 (pid: 2)\nRoot Cause (first observed failure):\n[0]:\n  exitcode  : 1 (pid: 1)"
    with pytest.raises(LaunchError) as caught:
        run(python(f"import sys; print({report!r}); sys.exit(1)"), tmp_path / "log", {})
    assert not isinstance(caught.value, ProcessLostError)


def test_a_killed_process_is_worth_another_try(tmp_path):
    with pytest.raises(ProcessLostError):
        run(python("import os; os.kill(os.getpid(), 9)"), tmp_path / "log", {})


@pytest.mark.mpi
@pytest.mark.parametrize("launcher", ["torchrun", "mpiexec"])
def test_a_killed_rank_is_told_from_a_rank_with_an_error(tmp_path, launcher):
    (tmp_path / "dies.py").write_text("import os, sys\nif sys.argv[1] == 'killed':\n    os.kill(os.getpid(), 9)\nsys.exit(3)\n")
    environment = {**launch_environment(1), "PYTHONPATH": str(tmp_path)}

    def launch(how: str) -> None:
        line = torchrun_line(2, "dies", [how]) if launcher == "torchrun" else mpiexec_line(find_mpiexec(), 2, "dies", [how])
        run(line, tmp_path / "log", environment)

    with pytest.raises(ProcessLostError):
        launch("killed")
    with pytest.raises(LaunchError) as caught:
        launch("error")
    assert not isinstance(caught.value, ProcessLostError)


def test_children_do_not_outlive_a_launch(tmp_path):
    code = "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(100)']).pid, flush=True)"
    run(python(code), tmp_path / "log", {})
    child = int((tmp_path / "log").read_text())
    deadline = time.monotonic() + 5
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_error_survives_pickling():
    error = pickle.loads(pickle.dumps(ProcessLostError("torchrun lost a process")))
    assert isinstance(error, ProcessLostError)
    assert str(error) == "torchrun lost a process"


def test_a_line_that_cannot_be_started_is_an_error(tmp_path):
    with pytest.raises(LaunchError, match="cannot be started"):
        run([str(tmp_path / "nothing")], tmp_path / "log", {})
