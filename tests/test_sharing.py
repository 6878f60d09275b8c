"""What tests share is made once, whoever needs it first, and again only if making it failed."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.sharing import made_once


class Worker:
    """Folders of one process of pytest-xdist."""

    def __init__(self, session: Path, number: int) -> None:
        self.folder = session / f"popen-gw{number}"
        self.folder.mkdir()

    def getbasetemp(self) -> Path:
        return self.folder


@pytest.fixture
def workers(tmp_path, monkeypatch) -> list[Worker]:
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
    return [Worker(tmp_path, number) for number in range(3)]


def test_the_first_worker_makes_it_and_the_others_wait(workers, tmp_path):
    def make(folder: Path) -> None:
        time.sleep(0.1)
        with open(tmp_path / "makers", "a") as makers:
            makers.write("x")
        (folder / "done").touch()

    # Locks of a file that was opened anew hold between threads as between processes.
    with ThreadPoolExecutor(len(workers)) as pool:
        folders = list(pool.map(lambda one: made_once(one, "thing", make), workers))
    assert folders == [tmp_path / "thing"] * len(workers)
    assert (tmp_path / "thing/done").exists()
    assert (tmp_path / "makers").read_text() == "x"


def test_what_a_failed_attempt_left_is_made_anew(workers):
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        made_once(workers[0], "thing", fail)
    folder = made_once(workers[1], "thing", lambda folder: (folder / "whole").touch())
    assert os.listdir(folder) == ["whole"]
