"""A run directory on a file system that is full or read-only: real ones, in memory."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.lammps,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a file system"),
]


@pytest.fixture
def mounted(tmp_path) -> Iterator[Callable[[str], Path]]:
    """Mounts a small file system with the options given."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(options: str) -> Path:
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=True)
        return place

    yield mount
    subprocess.run(["umount", "-l", str(place)], check=True)


def search(run_dir: Path) -> subprocess.CompletedProcess:
    words = [
        "search",
        "--campaign",
        "campaigns/smoke.yaml",
        "--run-dir",
        str(run_dir),
        "--num",
        "4",
        "--set",
        "search.chunk_size=2",
    ]
    line = [sys.executable, "-m", "gcd_hpc.cli", *words]
    return subprocess.run(
        line, cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120
    )


def test_a_read_only_run_directory_is_one_sentence_and_exit_code_2(mounted):
    done = search(mounted("size=8m,ro") / "run")
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "disk/run" in done.stderr


def test_a_full_disk_is_one_sentence_and_exit_code_2_and_leaves_nothing_half_written(mounted):
    disk = mounted("size=1m")
    (disk / "ballast").write_bytes(bytes(300_000))
    done = search(disk / "run")
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert str(disk) in done.stderr
    assert not list(disk.rglob("part-*.h5"))
    assert not list(disk.rglob(".*.tmp*"))
