"""Processes of one machine, started without torchrun."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from gcd_hpc.workers.ranks import CAN_FORK

LINE = [sys.executable, "-m", "gcd_hpc.workers.ranks", "2", "module"]


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Start a module of two processes, each of which runs the code that is given."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    def begin(code: str, *arguments: str) -> subprocess.Popen:
        body = textwrap.indent(f"rank = os.environ['RANK']\n{code}", "    ")
        (tmp_path / "module.py").write_text(
            f"import os, sys, time\nif __name__ == '__main__':\n{body}"
        )
        line = [*LINE, *arguments]
        return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    return begin


def test_every_process_knows_its_rank_and_gets_the_arguments(start):
    output, _ = start(
        "sys.stdout.write(f\"{rank} {os.environ['WORLD_SIZE']} {sys.argv[1]}\\n\")", "a b"
    ).communicate()
    assert sorted(output.splitlines()) == ["0 2 a b", "1 2 a b"]


@pytest.mark.parametrize(
    ("end", "code", "words"),
    [
        ("sys.exit(3)", 3, "process 1 of 2 ended with exit code 3"),
        ("os.kill(os.getpid(), 9)", 137, "process 1 of 2 was ended by signal 9"),
    ],
)
def test_the_first_that_ends_badly_ends_the_others_and_gives_the_exit_code(start, end, code, words):
    process = start(f"{end} if rank == '1' else time.sleep(60)")
    started = time.monotonic()
    assert words in process.communicate()[0]
    assert process.returncode == code
    assert time.monotonic() - started < 30


def test_a_request_to_stop_reaches_every_process_and_their_exit_code_comes_back(start, tmp_path):
    process = start(
        "import signal\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))\n"
        "open(f'{sys.argv[1]}/ready-{rank}', 'w')\ntime.sleep(60)",
        str(tmp_path),
    )
    while len(list(tmp_path.glob("ready-*"))) < 2:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 75 == os.EX_TEMPFAIL


@pytest.mark.skipif(not CAN_FORK, reason="processes of other systems do not fork")
def test_a_module_that_takes_long_to_import_is_imported_once(start, tmp_path):
    said = "os.write(1, f'{} {{os.environ.get(\"RANK\")}}\\n'.encode())"
    (tmp_path / "heavy.py").write_text(f"import os\n{said.format('imported')}")
    output, _ = start(f"import heavy\n{said.format('runs')}").communicate()
    assert sorted(output.splitlines()) == ["imported 0", "imported 1", "runs 0", "runs 1"]
    (tmp_path / "module.py").write_text(
        f"import os, heavy\nif __name__ == '__main__': {said.format('runs')}"
    )
    output = subprocess.run(LINE, capture_output=True, text=True, check=True).stdout
    assert sorted(output.splitlines()) == ["imported None", "runs 0", "runs 1"]


def test_no_folder_is_left_behind(start, tmp_path):
    start("print(os.environ['GCD_HPC_STORE'])").communicate()
    assert not list(tmp_path.glob("gcd-hpc-*"))
