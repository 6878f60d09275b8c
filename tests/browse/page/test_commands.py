"""The commands as people type them."""

import json
import os
import signal
import subprocess
import sys
import time
from urllib.request import urlopen

import pytest

COMMAND = [sys.executable, "-m", "gcd_hpc.cli"]


def test_browse_prints_an_address_that_answers_until_it_is_interrupted(run):
    with subprocess.Popen(
        [*COMMAND, "browse", str(run), "--no-open"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        address = server.stdout.readline().strip()
        with urlopen(f"{address}api/state", timeout=20) as answer:
            assert json.load(answer)["num"] == 60
        server.send_signal(signal.SIGINT)
        assert server.wait(20) == 0 and server.stderr.read() == ""


def test_the_token_of_the_page_stands_on_no_command_line(run, tmp_path):
    """A browser gets the name of a file that only its owner can read."""
    browser = tmp_path / "browser"
    browser.write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/line\ncat "${{1#file://}}" > {tmp_path}/page.part\n'
        f'stat -c %a "${{1#file://}}" > {tmp_path}/mode\nmv {tmp_path}/page.part {tmp_path}/page\n'
    )
    browser.chmod(0o755)
    with subprocess.Popen(
        [*COMMAND, "browse", str(run)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"BROWSER": f"{browser} %s"},
    ) as server:
        address = server.stdout.readline().strip()
        deadline = time.monotonic() + 20
        while not (tmp_path / "page").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        server.send_signal(signal.SIGINT)
        assert server.wait(20) == 0
    token = address.rstrip("/").rsplit("/", 1)[1]
    line = (tmp_path / "line").read_text()
    assert line.startswith("file://") and token not in line
    assert f"url={address}" in (tmp_path / "page").read_text()
    assert (tmp_path / "mode").read_text() == "600\n"
    assert not os.path.exists(line.strip().removeprefix("file://"))


def test_the_page_is_written_as_one_file_and_its_place_is_printed(run, tmp_path):
    path = tmp_path / "found.html"
    done = subprocess.run(
        [*COMMAND, "browse", str(run), "--html", str(path), "--structures", "9"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout.strip()) == (0, str(path))
    text = path.read_text(encoding="utf-8")
    data = json.loads(
        text.split('<script type="application/json" id="data">')[1].split("</script>")[0]
    )
    assert len(data["structures"]) == 9 and len(data["rows"]) == 60
    assert "default-src 'none'" in text


@pytest.mark.parametrize(
    "words", [["browse", "none", "--no-open"], ["browse", "none", "--html", "x.html"]]
)
def test_a_run_that_is_not_there_is_one_sentence(tmp_path, words):
    done = subprocess.run(
        [*COMMAND, *words], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "no such file" in done.stderr
    assert not list(tmp_path.iterdir())
