"""The wheel in an environment of its own, where there is no checkout."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]


def install(folder: Path) -> Path:
    """``gcd-hpc`` of an environment that holds the wheel, and this one's third-party packages."""
    pip = [sys.executable, "-m", "pip"]
    build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT]
    subprocess.run([*pip, *build], check=True, timeout=120)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "env", symlinks=True)
    python = folder / "env" / "bin" / "python"
    install = ["--python", python, "install", "--quiet", "--no-deps", wheel]
    subprocess.run([*pip, *install], check=True, timeout=120)
    paths = {"base": str(folder / "env"), "platbase": str(folder / "env")}
    own = Path(sysconfig.get_path("purelib", "venv", vars=paths))
    # A folder named in a .pth file comes after the wheel, and its own .pth files are not read: the
    # checkout that is installed there stays out.
    (own / "third_party.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "env" / "bin" / "gcd-hpc"


def environment() -> dict[str, str]:
    """Environment of a command of the wheel."""
    found = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    # MPI is in this environment, where packages do not look from the other one.
    found["LD_LIBRARY_PATH"] = str(Path(sys.prefix) / "lib")
    found["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{found['PATH']}"
    return found


def run(command: Path, folder: Path, *words: str) -> str:
    """What a command of the wheel prints."""
    done = subprocess.run(
        [command, *words],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
