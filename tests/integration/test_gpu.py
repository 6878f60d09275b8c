"""The smoke campaign with a GPU for training and sampling, and the processor for the rest."""

import subprocess
import sys
from pathlib import Path

import pytest

from gcd_hpc.store.run import open_run

pytestmark = [pytest.mark.gpu, pytest.mark.lammps, pytest.mark.mpi]
ROOT = Path(__file__).parents[2]
SITE = """
name: one_gpu
training: {gpus_per_node: 1}
sampling: {gpus_per_node: 1, processes_per_node: 2}
"""


def run(*words: str | Path) -> str:
    """Output of the command gcd-hpc, which has to succeed."""
    line = [sys.executable, "-m", "gcd_hpc.cli", *map(str, words)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_a_campaign_trains_and_samples_on_the_gpu_and_its_candidates_are_relaxed(tmp_path):
    site, run_dir = tmp_path / "one_gpu.yaml", tmp_path / "run"
    site.write_text(SITE)
    run("campaign", "campaigns/smoke.yaml", "--site", site, "--run-dir", run_dir)
    rows = list(open_run(run_dir))
    assert any(row.source == "model" and row.status == "ok" for row in rows)
    for version in ("01", "02"):
        for stage in ("train", "sample"):
            assert "on cuda:0" in (run_dir / "logs" / f"{stage}-{version}.log").read_text()
    run("verify", run_dir)
