"""The commands and the Python of the README and docs/, run.

The commands of a page are run in their order, in one folder that looks like the repository's and
holds the small smoke campaign, which ``tests/smoke.py`` ran by the tutorial's command. What needs
hours, another machine or the network has a rule of its own in ``tests/docs/pages.py``.
"""

import ast
import contextlib
import glob
import io
import os
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write

import gcd_hpc
from gcd_hpc import cli
from gcd_hpc.spectra.columns import with_columns
from gcd_hpc.spectra.feff10 import Feff10Settings
from gcd_hpc.spectra.label import EngineChoice, label
from gcd_hpc.structures.files import read_frames
from tests.browse.sets import make_set
from tests.docs.pages import (
    BLOCKS,
    COMMANDS_IN_DOCS,
    LONG_PAGES,
    PAGES,
    ROOT,
    Block,
    blocks_of,
    commands_of,
    rule_of,
)
from tests.material_run import write_material_run
from tests.spectra.test_measured import XDI, rows


@pytest.fixture(scope="session")
def home(tmp_path_factory, smoke) -> Path:
    """The small smoke campaign as campaigns/smoke.yaml, the other files as they are."""
    folder = tmp_path_factory.mktemp("docs") / "gcd-hpc"
    shutil.copytree(smoke.campaign.parent, folder / "campaigns")
    for name in ("batch", "docs", "constraints.txt", "mkdocs.yml"):
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.fixture(scope="session")
def with_run(home, smoke) -> Path:
    """After the tutorial's campaign, which stands for the default one too, wherever a page looks at
    results.
    """
    shutil.copytree(smoke.run_dir, home / "runs/smoke")
    prepare(home)
    return home


def prepare(home: Path) -> None:
    """What pages take for granted: other runs, a set of boundaries, merged files, and structures
    of the reader's own.
    """
    for name in ("w_sigma5", "w_sigma5_seed1", "w_sigma5_2x2", "other", "new"):
        (home / "runs" / name).symlink_to("smoke")
    make_set(home / "sets").rename(home / "runs/cu_tilts")
    for name in ("results.h5", "everything.h5"):
        shutil.copy(home / "runs/smoke/results.h5", home / name)
    best = gcd_hpc.open_run(home / "runs/smoke").lowest(1)[0].id
    for form, out in (
        ("lammps-dump", "found/a.dump"),
        ("extxyz", "mine.extxyz"),
        ("poscar", "folder/a.poscar"),
    ):
        inside(f"gcd-hpc export runs/smoke --select id={best} --format {form} --out {out}", home)
    make_labelled(home)
    write_material_run(home / "runs", "carbon")
    for block in BLOCKS:
        if block.title.endswith((".yaml", ".csv")):
            (home / block.title).write_text(block.text)
        if block.page == "docs/engines.md" and "relaxation:" in block.text:
            (home / "second.yaml").write_text(block.text)


STAND_IN = "tests.spectra.stand_in:StandIn"


def make_labelled(home: Path) -> None:
    """Structures, and a table of spectra by an engine that takes no time, also as extended XYZ."""
    structures = [bulk("C", cubic=True), bulk("C")]
    structures[0].rattle(0.1, seed=0)
    write(home / "frames.extxyz", structures)
    write(home / "POSCAR", structures[1])
    energies = np.linspace(270, 320, 51)
    columns = rows(energies, np.ones(51), 1 + np.sin(energies) ** 2)
    (home / "measured.xdi").write_text(XDI.format(unit="eV") + columns)
    choice = EngineChoice(STAND_IN, Feff10Settings())
    made = label(read_frames(home / "frames.extxyz"), home / "labelled.h5", choice, num_atoms=5)
    write(home / "labelled.extxyz", with_columns(made), format="extxyz")


def environment(home: Path) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {
        **os.environ,
        "PATH": path,
        "COLUMNS": "110",
        "SCRATCH": str(home / "runs"),
        "NO_MKDOCS_2_WARNING": "1",
    }


def shell(command: str, home: Path, timeout: float = 150) -> str:
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=home,
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def inside(command: str, home: Path) -> str:
    """The command in this process, which is quicker; patterns of files as the shell has them."""
    command = with_known_ids(os.path.expandvars(command), home)
    words = [
        path
        for word in shlex.split(command)
        for path in sorted(glob.glob(word, root_dir=home)) or [word]
    ]
    out, code = io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out):
        patch.chdir(home)
        patch.setattr(sys, "argv", words)
        for name, value in environment(home).items():
            patch.setenv(name, value)
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code or 0
    assert code == 0, f"{command}\n{out.getvalue()}"
    return out.getvalue()


def with_known_ids(command: str, home: Path) -> str:
    """Candidates of a reader's run become a relaxed one of this small one, and moves of a round its
    first one. Those of the set and of the material are as they are.
    """
    if "runs/cu_tilts" in command or "runs/carbon" in command:
        return command
    known = (
        gcd_hpc.open_run(home / "runs/smoke").lowest(1)[0].id
        if re.search(r"-\d{6}\b", command)
        else ""
    )
    command = re.sub(r"\b(explore-\d\d)-\d{6}\b", r"\1-000000", command)
    return re.sub(r"\b(search|model-\d\d)-\d{6}\b", known, command)


def run(command: str, home: Path) -> str:
    command = command.removeprefix(".venv/bin/")
    if command.startswith("gcd-hpc spectra label "):
        command += f" --engine {STAND_IN}"  # FEFF10 takes minutes
    if command.startswith("less "):
        return shell(f"cat {command.removeprefix('less ')}", home)
    if not command.startswith("gcd-hpc ") or re.match(r"gcd-hpc (campaign|search) ", command):
        return shell(command, home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCRATCH", str(home / "runs"))
        return inside(command, home)


def dry(command: str, home: Path) -> None:
    """A campaign of real size is planned, one short search stands for the long ones; what else
    takes long is only parsed (above).
    """
    command = command.removeprefix(".venv/bin/")
    if command.startswith("gcd-hpc campaign "):
        assert "core-hours" in inside(f"{command} --plan", home)
    if command.startswith("gcd-hpc search ") and "my_potential.yaml" in command:
        shell(
            re.sub(
                r"--num \d+( --set search.chunk_size=\d+)?",
                "--num 2 --set search.chunk_size=1",
                command,
            ),
            home,
        )


def start(
    command: str, home: Path, stdout: int, stdin: int = subprocess.DEVNULL
) -> subprocess.Popen:
    words = shlex.split(command.replace("$SCRATCH", str(home / "runs")))
    more = {"PYTHONUNBUFFERED": "1", "BROWSER": "true", "TERM": "xterm"}
    return subprocess.Popen(
        words,
        cwd=home,
        env=environment(home) | more,
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.STDOUT,
    )


def interrupt(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGINT)
    with process:
        assert process.wait(timeout=30) in (0, 130)


def serve(command: str, home: Path) -> None:
    """Starts, prints an address that answers, and ends with Ctrl-C."""
    process = start(command, home, subprocess.PIPE)
    try:
        printed = b""
        while not (address := re.search(rb"http://127\.0\.0\.1:\S+", printed)):
            line = process.stdout.readline()
            assert line, f"{command} ended before it printed an address: {printed.decode()}"
            printed += line
        assert urllib.request.urlopen(address.group().decode(), timeout=30).status == 200
    finally:
        interrupt(process)


def watch(command: str, home: Path) -> None:
    """Shows in a terminal where the campaign stands, and ends with Ctrl-C."""
    ours, theirs = os.openpty()
    process = start(command, home, theirs)
    os.close(theirs)
    try:
        shown = b""
        while b"nothing is left to do" not in shown:
            assert select.select([ours], [], [], 60)[0], (
                f"{command} shows nothing: {shown.decode()}"
            )
            shown += os.read(ours, 4096)
    finally:
        interrupt(process)
        os.close(ours)


def answer(command: str, home: Path) -> None:
    """Asks in a terminal for what it needs: an element, then four things that have a default."""
    ours, theirs = os.openpty()
    process = start(command, home, theirs, stdin=theirs)
    os.close(theirs)
    os.write(ours, b"Cu\n\n\n\n\n")
    shown = b""
    with process, contextlib.suppress(OSError):  # raised when no process has the terminal any more
        while select.select([ours], [], [], 60)[0] and (more := os.read(ours, 4096)):
            shown += more
        process.kill()
    os.close(ours)
    assert process.returncode == 0, f"{command}: {shown.decode()}"


SKELETON = str.maketrans("0123456789", "0000000000")


def skeleton(line: str) -> str:
    """A line of output without the numbers of one run."""
    return re.sub(r"0+", "0", " ".join(line.translate(SKELETON).split()))


def check_output(block: Block, printed: str) -> None:
    """The first line that the page shows is among those that are printed, but for numbers."""
    if block.output:
        first = next(line for line in block.output.splitlines() if line.strip())
        assert skeleton(first) in {skeleton(line) for line in printed.splitlines()}, (
            f"{block.page}:{block.line}\n{printed}"
        )


IN_A_TERMINAL = {"serve": serve, "watch": watch, "ask": answer}
"""What does a command that waits for its user, by the rule of the command."""
_DONE: set[str] = set()
"""A command that stands on several pages is run once."""


def pages_with(language: str) -> list:
    """Pages with blocks in a language; the Python of a long page reads what its commands made."""
    return [
        pytest.param(page, marks=pytest.mark.slow if page in LONG_PAGES else ())
        for page in PAGES
        if any(block.language == language for block in blocks_of(page))
    ]


@pytest.mark.lammps
@pytest.mark.mpi
@pytest.mark.parametrize("page", pages_with("bash"))
def test_the_commands_of_a_page_run_in_their_order(page, with_run):
    for block in blocks_of(page):
        printed = ""
        for command in commands_of(block) if block.language == "bash" else ():
            rule = rule_of(command)
            if command in _DONE and not block.output:
                continue
            _DONE.add(command)
            if rule == "slow":
                dry(command, with_run)
            elif rule == "plan":
                # What they measure takes minutes; tests/phases has them in small.
                run(f"{command} --plan", with_run)
            elif rule in IN_A_TERMINAL:
                IN_A_TERMINAL[rule](command, with_run)
            elif rule == "run":
                printed += run(command, with_run)
        if printed and not any(rule_of(command) == "slow" for command in commands_of(block)):
            check_output(block, printed)


@pytest.mark.lammps
@pytest.mark.parametrize("page", pages_with("python"))
def test_the_python_of_a_page_runs_in_its_order(page, with_run, monkeypatch):
    monkeypatch.chdir(with_run)
    names: dict[str, object] = {}
    for block in blocks_of(page):
        if block.language != "python":
            continue
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(ast.parse(block.text), f"{page}:{block.line}", "exec"), names)
        assert bool(out.getvalue()) or not block.output
        if len(block.output.splitlines()) == 1:
            check_output(block, out.getvalue())
    for value in names.values():
        if hasattr(value, "close"):
            value.close()


NOT_HERE = {
    "--budget full": "for a GPU",
    "--site my_cluster.yaml": "for a login node; tests/slurm has one",
    "gcd-hpc model ": "learns from finished campaigns; tests/stages has its trainings",
    "campaign carbon.yaml": "has the reader's own spectrum; tests/integration has such a campaign",
}


LONG = {
    command.removeprefix(".venv/bin/"): block
    for block, command in COMMANDS_IN_DOCS
    if rule_of(command) == "slow" and not any(words in command for words in NOT_HERE)
}


@pytest.mark.slow
@pytest.mark.parametrize("command", sorted(LONG))
def test_long_commands_run_as_they_are_written(command, tmp_path):
    shutil.copytree(ROOT / "campaigns", tmp_path / "campaigns")
    for block in BLOCKS:
        if block.title.endswith(".yaml"):
            (tmp_path / block.title).write_text(block.text)
    block = LONG[command]
    for other in commands_of(block):
        if other.startswith("gcd-hpc init "):  # writes the campaign file of the others
            shell(other, tmp_path)
    check_output(block, shell(command, tmp_path, timeout=3600))


@pytest.mark.slow
def test_a_newcomer_reaches_the_first_figure_in_ten_minutes_by_the_tutorial_alone(tmp_path):
    subprocess.run(["git", "clone", "--quiet", str(ROOT), "gcd-hpc"], cwd=tmp_path, check=True)
    commands = [
        command
        for block in blocks_of("docs/tutorial.md")
        if block.language == "bash"
        for command in commands_of(block)
    ]
    last = next(
        number for number, command in enumerate(commands) if command.startswith("gcd-hpc plot ")
    )
    script = "\n".join(["set -ex", *commands[: last + 1], "which gcd-hpc"])
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONPATH", "VIRTUAL_ENV")
    }
    began = time.monotonic()
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path / "gcd-hpc",
        env=environment,
        capture_output=True,
        text=True,
    )
    took = time.monotonic() - began
    print(f"{took:.0f} s to the first figure")
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == str(tmp_path / "gcd-hpc/.venv/bin/gcd-hpc")
    assert (tmp_path / "gcd-hpc/egb_vs_n.png").stat().st_size > 10_000
    assert took < 600
