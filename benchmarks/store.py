"""A store of a million candidates: building its index, and asking it for the lowest energies.

    OMP_NUM_THREADS=1 python benchmarks/store.py FOLDER [--parts 1000] [--rows 1000] [--keep]

Makes a run directory of synthetic part files in FOLDER (two atoms a candidate, every field of a row
filled as a campaign fills it), builds its index and runs ``gcd-hpc top``, start of Python included.
The rival in the same run reads the same columns from the parts.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, fields
from pathlib import Path

import numpy as np

from gcd_hpc.store.checksums import (
    Columns,
)
from gcd_hpc.store.hdf5 import (
    ColumnWriter,
    image_for,
    write_attributes,
)
from gcd_hpc.store.index import RunStore
from gcd_hpc.store.parts import read_columns
from gcd_hpc.store.provenance import package_provenance
from gcd_hpc.store.schema import ATOM_FIELDS, ROW_FIELDS, Candidate, candidate_id

ATOMS = 2
EDGE_A = 20.0
"""Edges of every box: boxes that no crystal can have would be left out one by one."""
CRYSTAL_EV = -8.76
PLANE_ATOMS = 29
"""Of Sigma 29: more values of [n] than the default boundary has."""
SEARCH_SHARE = 0.25
TOP_FIELDS = (
    "id",
    "status",
    "source",
    "version",
    "round",
    "n_fraction",
    "gb_energy_j_m2",
    "num_atoms",
    "excess_volume_a",
    "converged",
)
IMPORTS = "import gcd_hpc.cli, gcd_hpc.browse.tables, rich.console"
REASONS = (
    "",
    "two atoms closer than 1.2 Å",
    "expected finite energies, got nan from LAMMPS after 17 steps",
)


def synthetic(number: int, num_parts: int, num_rows: int) -> tuple[str, Columns]:
    """Place and columns of one part."""
    rng = np.random.default_rng(number)
    num_search = int(SEARCH_SHARE * num_parts)
    source = "search" if number < num_search else "model"
    version = (
        0 if number < num_search else 1 + (number - num_search) * 5 // (num_parts - num_search)
    )
    where = (
        f"search/part-{number:05d}.h5"
        if source == "search"
        else f"model-{version:02d}/relaxed/part-{number:05d}.h5"
    )
    outcome = rng.choice(3, num_rows, p=[0.85, 0.1, 0.05])
    ok = outcome == 0
    num_atoms = rng.integers(260, 290, num_rows)
    numbers = number * num_rows + np.arange(num_rows)
    columns: Columns = {
        field.name: rng.normal(size=(num_rows, *field.shape))
        for field in ROW_FIELDS
        if field.kind == "float"
    }
    # Fields that say nothing here have the values that they have in older files.
    defaults = {one.name: one.default for one in fields(Candidate)}
    columns |= {
        field.name: np.full(num_rows, defaults[field.name])
        for field in ROW_FIELDS
        if field.kind != "float" and defaults[field.name] is not MISSING
    }
    columns |= {
        "id": np.array(
            [
                candidate_id("search" if version == 0 else "model", version, index)
                for index in numbers.tolist()
            ]
        ),
        "source": np.full(num_rows, source),
        "version": np.full(num_rows, version),
        "round": np.full(num_rows, version),
        "index": numbers,
        "seed": np.zeros(num_rows, dtype=int),
        "status": np.array(["ok", "invalid", "failed"])[outcome],
        "reason": np.array(REASONS)[outcome],
        "failure": np.array(["", "", "physics"])[outcome],
        "num_atoms": np.full(num_rows, ATOMS),
        "atoms_per_plane": np.full(num_rows, PLANE_ATOMS),
        "run": np.full(num_rows, ""),
        "n_index": num_atoms % PLANE_ATOMS,
        "n_fraction": (num_atoms % PLANE_ATOMS) / PLANE_ATOMS,
        "cohesive_ev": np.full(num_rows, CRYSTAL_EV),
        "gb_energy_j_m2": np.where(ok, 2.2 + rng.gamma(3.0, 0.15, num_rows), np.nan),
        "preset": np.array(["screen", "paper", ""])[rng.choice(3, num_rows, p=[0.7, 0.2, 0.1])],
        "converged": ok,
        "stop_reason": np.where(ok, "energy tolerance", ""),
        "evaluations": rng.integers(20, 2000, num_rows),
        "model_sha256": np.full(num_rows, f"{version:x}" * 64 if version else ""),
        "potential_sha256": np.full(num_rows, "a" * 64),
    }
    atoms = {field.name: rng.normal(size=(num_rows * ATOMS, *field.shape)) for field in ATOM_FIELDS}
    # Energies that a crystal can have: others are never the lowest.
    atoms["numbers"] = np.zeros(num_rows * ATOMS, dtype=int)
    columns |= {
        "cell": np.full((num_rows, 3), EDGE_A),
        "tilt_a": np.zeros(num_rows),
        "axial_ratio": np.full(num_rows, np.nan),
    }
    atoms["energies_ev"] = CRYSTAL_EV + 0.1 * atoms["energies_ev"]
    return where, columns | atoms


def write_run(run_dir: Path, num_parts: int, num_rows: int) -> None:
    """The files that a campaign leaves."""
    for number in range(num_parts):
        where, columns = synthetic(number, num_parts, num_rows)
        with image_for(run_dir / "parts" / where) as file:
            writer = ColumnWriter(file, num_rows, num_rows * ATOMS)
            writer.append(columns)
            writer.finish()
            write_attributes(file, package_provenance() | {"config": "name: synthetic\n"})


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def top_command(run_dir: Path, *options: str) -> None:
    """The real command in a new process."""
    subprocess.run(
        [sys.executable, "-m", "gcd_hpc.cli", "top", str(run_dir), *options],
        check=True,
        stdout=subprocess.DEVNULL,
    )


@contextmanager
def new_parts(run_dir: Path, num: int) -> Iterator[None]:
    """Parts that the index does not know."""
    last = RunStore(run_dir).part_paths()[-1]
    new = [last.with_name(f"part-9{number:04d}.h5") for number in range(num)]
    for path in new:
        shutil.copyfile(last, path)
    yield
    for path in new:
        path.unlink()


def main() -> None:
    """Make the run, measure, print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--parts", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument(
        "--keep", action="store_true", help="leave FOLDER/run, and use the one that is there"
    )
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    folder = asked.folder if asked.keep else Path(tempfile.mkdtemp(dir=asked.folder))
    run_dir = folder / "run"
    try:
        if not run_dir.exists():
            write_s = seconds(lambda: write_run(run_dir, asked.parts, asked.rows))
            print(f"{asked.parts:,} parts of {asked.rows:,} rows written in {write_s:.1f} s")
        for line in measure(run_dir):
            print(line, flush=True)
    finally:
        if not asked.keep:
            shutil.rmtree(folder)


def measure(run_dir: Path) -> list[str]:
    """The table."""
    store = RunStore(run_dir)
    store.index_path.unlink(missing_ok=True)
    paths = store.part_paths()
    rival_s = seconds(lambda: read_columns(paths, TOP_FIELDS))
    build_s = seconds(store.build_index)
    top_s = statistics.median(seconds(lambda: top_command(run_dir)) for _ in range(5))
    per_n_s = statistics.median(seconds(lambda: top_command(run_dir, "--per-n")) for _ in range(5))
    start_s = statistics.median(
        seconds(lambda: subprocess.run([sys.executable, "-c", IMPORTS], check=True))
        for _ in range(5)
    )
    num_rows = len(store.rows())
    size_mb = store.index_path.stat().st_size / 1e6
    again_s = seconds(store.build_index)
    with new_parts(run_dir, 20):
        late_s = statistics.median(
            seconds(lambda: top_command(run_dir, "--per-n")) for _ in range(3)
        )
    return [
        f"{len(paths):,} parts, {num_rows:,} rows; index of {size_mb:.0f} MB",
        "",
        "| what | s |",
        "|---|--:|",
        f"| rival: the columns of `top` read from the parts | {rival_s:.2f} |",
        f"| `build_index` | {build_s:.2f} |",
        f"| `build_index` again, nothing new | {again_s:.2f} |",
        f"| `gcd-hpc top` | {top_s:.2f} |",
        f"| `gcd-hpc top --per-n` | {per_n_s:.2f} |",
        f"| `gcd-hpc top --per-n` and 20 parts newer than the index | {late_s:.2f} |",
        f"| Python and the imports of `top` alone | {start_s:.2f} |",
    ]


if __name__ == "__main__":
    main()
