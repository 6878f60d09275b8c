"""A newcomer's first hour: the wheel in an empty folder, from ``init`` to a report."""

import json
import re
import subprocess
import urllib.request
from pathlib import Path

import ase.io
import pytest

from tests.wheel import environment, install, run

TRIES = ("--num", "8", "--set", "search.chunk_size=4", "--set", "search.md.probability=0")


@pytest.fixture(scope="module")
def command(tmp_path_factory) -> Path:
    """``gcd-hpc`` of an environment that holds the wheel."""
    return install(tmp_path_factory.mktemp("wheel"))


@pytest.mark.slow
@pytest.mark.lammps
def test_a_newcomer_sees_at_each_step_what_there_is_to_see(command, tmp_path):
    def call(line: str, *words: str) -> str:
        return run(command, tmp_path, *line.split(), *words)

    # 1. A campaign file for a boundary, which the next command explains.
    words = "--element Cu --sigma 5 --plane 210 --axis 001 --out cu.yaml"
    assert "next: gcd-hpc check cu.yaml" in call(f"init {words}")
    checked = call("check cu.yaml")
    assert "cu.yaml: sound: Cu (fcc)" in checked
    assert "Sigma 5 symmetric tilt, 53.13 degrees about <0 0 1>" in checked
    assert "Cu_mishin1.eam.alloy (among the potentials that LAMMPS ships)" in checked

    # 2. A search says what it does, what it found, at what cost, and where the results are.
    found = call("search --campaign cu.yaml --run-dir runs/a", *TRIES)
    assert re.search(r"searching at random: \d/8 tries", found)
    assert re.search(r"^ *search +8 +\d", found, re.M)
    assert "runs/a: complete (ended by: --until search)" in found
    assert (tmp_path / "runs/a/results.h5").exists()
    call("search --campaign cu.yaml --run-dir runs/b --set seed=1", *TRIES)

    # 3. Status, the lowest structures, and the runs side by side.
    assert "complete" in call("status runs/a").splitlines()[0]
    top = call("top runs/a --per-n")
    energy = min(float(one) for one in re.findall(r"^ *[\d.]+ +(\d\.\d{4})", top, re.M))
    assert 0.8 < energy < 2.5, "J/m^2; the literature's lowest is 0.95"
    compared = call("compare runs/a runs/b --out compare.png")
    assert re.search(r"^a +8 .*search", compared, re.M)
    assert "compare.png: a figure" in compared
    assert (tmp_path / "compare.png").stat().st_size > 10_000

    # 4. The page of the run, served to this machine.
    shown = best_on_page(command, tmp_path)
    assert any(isinstance(one, float) and abs(one - energy) < 1e-4 for one in shown)

    # 5. Structures for other programs say what they are; a report stands alone.
    call("export runs/a --per-n --num 1 --format poscar --out best")
    files = list((tmp_path / "best").iterdir()) if (tmp_path / "best").is_dir() else []
    for file in files or [tmp_path / "best"]:
        assert re.match(r"search-\d{6}: E_gb \d\.\d{4} J/m\^2, \[n\] ", file.read_text())
        assert len(ase.io.read(file, format="vasp").constraints) == 1
    call("report runs/a --html report.html --pdf report.pdf")
    report = (tmp_path / "report.html").read_text()
    for needed in ("Cu_mishin1.eam.alloy", "Σ5", "symmetric tilt", f"{energy:.4f}"[:5], "seed"):
        assert needed in report
    assert str(tmp_path) not in report
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")


def best_on_page(command: Path, folder: Path) -> list:
    """What the served page says of the lowest structure."""
    served = subprocess.Popen(
        [command, "browse", "runs/a", "--no-open"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert served.stdout is not None
        address = served.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(address, timeout=30) as answer:
            page = answer.read().decode()
        assert "<title>" in page
        assert "script" in page
        with urllib.request.urlopen(f"{address.rstrip('/')}/api/state", timeout=30) as answer:
            return json.load(answer)["best"]
    finally:
        served.terminate()
        served.wait(timeout=20)
        served.stdout.close()
