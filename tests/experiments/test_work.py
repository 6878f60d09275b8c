"""Tasks side by side: nothing is computed twice, lost or left half-written, whatever happens to a
worker.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from gcd_hpc.errors import LaunchError, StructureError
from gcd_hpc.experiments.work import Task, Workshop


def draw(folder, index, report):
    """Random numbers of an index; leaves a line a call."""
    with (folder / "calls").open("a") as calls:
        calls.write(f"{index}\n")
    for step in range(4):
        report(step / 4)
    return {
        "numbers": np.random.default_rng(index).normal(size=3),
        "pid": np.array(os.getpid()),
        "name": np.array(["drawn", "at random"]),
    }


def burn(seconds, report):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
    return {}


def count_threads(report):
    import torch

    return {"threads": np.array([torch.get_num_threads(), int(os.environ["OMP_NUM_THREADS"])])}


def die(report):
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(sentence, report):
    raise StructureError(sentence)


def stumble(report):
    return {"ratio": np.array(1 // 0)}


def make_objects(report):
    return {"objects": np.array([{}])}


def wait_for_ever(folder, report):
    (folder / f"pid-{os.getpid()}").touch()
    time.sleep(600)


def draws(folder: Path, num: int) -> list[Task]:
    return [Task("draw", draw, (folder, index)) for index in range(num)]


def blocks_interrupts(pid: int) -> bool:
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    return bool(int(status["SigBlk"], 16) & 1 << (signal.SIGINT - 1))


def leftovers(folder: Path) -> list[Path]:
    return list(folder.rglob("*.tmp*"))


def test_results_come_in_the_order_of_the_tasks(tmp_path):
    results = Workshop(tmp_path).run(draws(tmp_path, 3))
    for index, arrays in enumerate(results):
        assert np.array_equal(arrays["numbers"], np.random.default_rng(index).normal(size=3))
        assert arrays["name"].tolist() == ["drawn", "at random"]
        assert arrays["core_s"].shape == ()
    assert os.getpid() not in {int(arrays["pid"]) for arrays in results}


def test_a_rerun_computes_nothing_again_and_other_arguments_do(tmp_path, capsys):
    first = Workshop(tmp_path).run(draws(tmp_path, 1))
    again = Workshop(tmp_path).run(draws(tmp_path, 2))
    assert (tmp_path / "calls").read_text().split() == ["0", "1"]
    assert again[0].keys() == first[0].keys()
    assert all(np.array_equal(again[0][name], first[0][name]) for name in first[0])
    assert "draw: kept from before" in capsys.readouterr().out


def test_a_folder_that_was_moved_keeps_its_results(tmp_path):
    before, after = (Workshop(tmp_path / name) for name in ("before", "after"))
    assert (
        before.path(Task("a", draw, (before.work / "model", 1))).name
        == after.path(Task("a", draw, (after.work / "model", 1))).name
    )
    assert (
        before.path(Task("a", draw, (before.work, 1))).name
        != before.path(Task("a", burn, (before.work, 1))).name
    )


def test_arguments_that_cannot_be_told_apart_are_refused(tmp_path):
    for argument in (object(), np.zeros(5000)):
        with pytest.raises(AssertionError, match="without a complete repr"):
            Workshop(tmp_path).path(Task("a", draw, (argument,)))


def test_results_that_could_not_be_read_again_are_refused_and_end_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    with pytest.raises(AssertionError, match="expected arrays of numbers or text, got objects"):
        Workshop(tmp_path).run(
            [Task("wait", wait_for_ever, (tmp_path,)), Task("objects", make_objects, ())]
        )
    assert not any(psutil.pid_exists(int(path.name[4:])) for path in tmp_path.glob("pid-*"))


@pytest.mark.parametrize("damage", ["cut short", "no archive", "without its costs"])
def test_a_damaged_file_is_made_again_with_a_note(damage, tmp_path, capsys):
    workshop, (task,) = Workshop(tmp_path), draws(tmp_path, 1)
    (good,) = workshop.run([task])
    path = workshop.path(task)
    if damage == "without its costs":
        np.savez(path, numbers=np.zeros(3))
    else:
        path.write_bytes(path.read_bytes()[:-40] if damage == "cut short" else b"PK\x03\x04")
    (again,) = workshop.run([task])
    assert np.array_equal(again["numbers"], good["numbers"])
    assert f"{path}: damaged, made again" in capsys.readouterr().out


def test_equal_tasks_are_computed_once(tmp_path):
    one, two = Workshop(tmp_path).run(draws(tmp_path, 1) * 2)
    assert one is two
    assert (tmp_path / "calls").read_text() == "0\n"


def test_core_seconds_are_those_of_the_worker(tmp_path):
    (arrays,) = Workshop(tmp_path).run([Task("burn", burn, (0.5,))])
    assert 0.5 <= float(arrays["core_s"]) < 0.6


def test_a_worker_has_one_thread(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    (arrays,) = Workshop(tmp_path).run([Task("count", count_threads, ())])
    assert arrays["threads"].tolist() == [1, 1]
    assert os.environ["OMP_NUM_THREADS"] == "2"


def test_numbers_do_not_depend_on_the_number_of_workers(tmp_path, monkeypatch):
    results = []
    for cores in ({0}, {0, 1, 2}):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: cores)
        results.append(Workshop(tmp_path / str(len(cores))).run(draws(tmp_path, 3)))
    for one, many in zip(*results, strict=True):
        assert np.array_equal(one["numbers"], many["numbers"])


def test_tasks_of_a_gpu_follow_each_other_in_this_process(tmp_path):
    workshop = Workshop(tmp_path, "full", device="cuda")
    assert {int(arrays["pid"]) for arrays in workshop.run(draws(tmp_path, 3), on_device=True)} == {
        os.getpid()
    }


def test_a_worker_that_dies_is_one_sentence(tmp_path):
    with pytest.raises(LaunchError) as caught:
        Workshop(tmp_path).run([Task("train-sc", die, ())])
    assert (
        str(caught.value)
        == "train-sc: its worker did not finish: killed by SIGKILL (out of memory?); run the same"
        " command again to resume from what is done"
    )


def test_an_error_of_a_task_ends_the_others_and_keeps_what_is_done(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    tasks = [
        *draws(tmp_path, 1),
        Task("wait", wait_for_ever, (tmp_path,)),
        Task("refuse", refuse, ("cell.xyz: no atoms",)),
    ]
    with pytest.raises(StructureError, match=r"^cell.xyz: no atoms$"):
        Workshop(tmp_path).run(tasks)
    assert Workshop(tmp_path).path(tasks[0]).exists()
    assert not any(psutil.pid_exists(int(path.name[4:])) for path in tmp_path.glob("pid-*"))
    assert not leftovers(tmp_path)


def test_a_bug_in_a_task_shows_its_own_traceback(tmp_path):
    with pytest.raises(
        RuntimeError, match=r"stumble: failed in its worker(.|\n)*1 // 0(.|\n)*ZeroDivisionError"
    ):
        Workshop(tmp_path).run([Task("stumble", stumble, ())])


SCRIPT = """
import sys
from pathlib import Path
from gcd_hpc.experiments.work import Task, Workshop
from tests.experiments.test_work import draw, wait_for_ever
if __name__ == "__main__":
    folder = Path(sys.argv[1])
    waiting = [Task("wait", wait_for_ever, (folder / name,)) for name in "ab"]
    Workshop(folder).run([Task("draw", draw, (folder, 1)), *waiting])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_the_command(number, tmp_path):
    """Ctrl-C reaches the whole process group, as in a terminal; SIGKILL only the command."""
    for name in "ab":
        (tmp_path / name).mkdir()
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    line = [sys.executable, str(tmp_path / "script.py"), str(tmp_path)]
    with subprocess.Popen(
        line, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as command:
        until = time.monotonic() + 60
        num_workers = min(
            2, len(os.sched_getaffinity(0))
        )  # all are at work: none is still being started
        while (
            len(pids := [int(path.name[4:]) for path in tmp_path.rglob("pid-*")]) < num_workers
            and time.monotonic() < until
        ):
            time.sleep(0.05)
        workers = psutil.Process(command.pid).children(recursive=True)
        blocking = [blocks_interrupts(pid) for pid in pids]
        (os.killpg if number == signal.SIGINT else os.kill)(command.pid, number)
        command.wait(20)
        said = command.stderr.read()
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert not alive
    assert set(pids) <= {worker.pid for worker in workers}
    assert (
        blocking == [True] * num_workers
    )  # the first one too: it might tell of the interrupt before it is ended
    assert (
        "KeyboardInterrupt" not in said.partition("KeyboardInterrupt")[2]
    )  # from the command alone
    assert not leftovers(tmp_path)
