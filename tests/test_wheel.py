"""The wheel, installed where there is no checkout, knows its campaigns, sites and batch scripts."""

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.docs.pages import COMMANDS_IN_DOCS, rule_of
from tests.wheel import install, run

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def command(tmp_path_factory) -> Path:
    """``gcd-hpc`` of an environment that holds the wheel, and this one's third-party packages."""
    return install(tmp_path_factory.mktemp("wheel"))


def test_the_package_is_the_wheels(command, tmp_path):
    code = "import gcd_hpc; print(gcd_hpc.__file__)"
    where = subprocess.run(
        [command.parent / "python", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(where.stdout.strip()).is_relative_to(command.parents[1])


@pytest.mark.parametrize(
    "words",
    [
        ("check", "campaigns/w_sigma5.yaml", "--site", "slurm_login"),
        ("check", "campaigns/w_sigma5.yaml", "--set", "model=builtin"),
        ("rehearse", "campaigns/smoke.yaml"),
        ("--version",),
    ],
    ids=" ".join,
)
def test_commands_that_write_nothing_run_in_an_empty_folder(command, tmp_path, words):
    assert run(command, tmp_path, *words)
    assert list(tmp_path.iterdir()) == []


FEW_TRIES = ["--set", "search.num_tries=4", "--set", "search.chunk_size=2"]
ON_THIS_RUN = {"w_sigma5": "smoke", "n=0.2 energy<2.4": "status=ok"}
"""Words of the README's commands that differ here: the run, and energies beyond four tries."""


def commands_of_the_readme() -> list[list[str]]:
    """Words of its commands that end soon. browse, reproduce and jobs have tests of their own."""
    found = []
    for block, command in COMMANDS_IN_DOCS:
        if block.page == "README.md" and rule_of(command) == "run":
            for theirs, ours in ON_THIS_RUN.items():
                command = command.replace(theirs, ours)
            found.append(shlex.split(command))
    return [words[1:] for words in found if words[0] == "gcd-hpc"]


OPENED = "import gcd_hpc; print(gcd_hpc.open_run('runs/smoke').select('status=ok').lowest(1)[0].id)"


@pytest.mark.slow
@pytest.mark.lammps
@pytest.mark.mpi
def test_a_search_and_the_commands_of_the_readme_run_in_an_empty_folder(command, tmp_path):
    words = ["campaign", "campaigns/smoke.yaml", "--until", "search", *FEW_TRIES]
    assert "runs/smoke: complete" in run(command, tmp_path, *words)
    shutil.copytree(tmp_path / "runs/smoke", tmp_path / "runs/smoke_seed1")
    commands = commands_of_the_readme()
    assert {"doctor", "top", "export", "relax", "verify", "init"} <= {
        words[0] for words in commands
    }
    for words in [*commands, ["status", "runs/smoke"]]:
        assert run(command, tmp_path, *words), words
    written = {path.name for path in tmp_path.iterdir()}
    assert written >= {"runs", "progress.pdf", "found.extxyz", "smoke.html", "cu.yaml"}
    assert run(command.parent / "python", tmp_path, "-c", OPENED).startswith("search-0000")


def test_batch_scripts_and_the_page_are_in_the_wheel(command):
    (package,) = command.parents[1].glob("lib/python*/site-packages/gcd_hpc")
    scripts = {path.name for path in (ROOT / "batch").iterdir()}
    assert {path.name for path in (package / "_data" / "batch").iterdir()} == scripts
    for folder in ("static", "vendor"):
        page = Path("browse", "page", folder)
        files = {path.name for path in (ROOT / "gcd_hpc" / page).iterdir()}
        assert {path.name for path in (package / page).iterdir()} == files
    assert (package / "py.typed").exists()


def test_the_public_spectra_and_their_licence_are_in_the_wheel(command):
    (package,) = command.parents[1].glob("lib/python*/site-packages/gcd_hpc")
    data = Path("experiments", "data")
    files = {path.name for path in (package / data).iterdir()}
    assert files == {path.name for path in (ROOT / "gcd_hpc" / data).iterdir()}
    assert files == {"amorphous_carbon.npz", "references.npz", "LICENSE-graphite", "README.md"}
