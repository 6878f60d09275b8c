"""What comes with the package: campaigns, sites, batch scripts, and names of further packages."""

import os
import re
import shlex
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from gcd_hpc.errors import ConfigError

_PACKAGE = Path(__file__).parents[1]


def shipped_folder() -> Path:
    """The folder that holds ``campaigns`` and ``batch``: the checkout, or, of an installed wheel,
    a folder within the package.
    """
    is_checkout = (_PACKAGE.parent / "pyproject.toml").is_file()
    return _PACKAGE.parent if is_checkout else _PACKAGE / "_data"


def shipped(name: str) -> Path:
    """One of these files or folders, such as ``campaigns/smoke.yaml``, ``campaigns/sites`` or
    ``batch/campaign.sh``.

    Raises:
        ConfigError: if there is none of that name.
    """
    path = shipped_folder() / name
    if not path.exists():
        raise ConfigError(name, "", f"is not in {path.parent}; install gcd-hpc again")
    return path


def found(path: Path, folder: str) -> Path:
    """A file that a user named: there, or, where there is none, one of that name that comes with
    the package.

    Args:
        folder: where a name without a folder is looked for, such as ``campaigns``.
    """
    if os.path.exists(path) or path.is_absolute() or ".." in path.parts:
        return path
    for name in (path, Path(folder) / path):
        known = shipped_folder() / name
        if os.path.isfile(known) and Path(folder) in name.parents:
            return known
    return path


def install_command(extra: str) -> str:
    """The command that installs the packages of an extra: ``train``, ``local`` or
    ``spectra``.

    It names the packages themselves, and so does the same in a checkout and beside a wheel.
    """
    try:
        lines = requires("gcd-hpc") or []
    except PackageNotFoundError:
        lines = []
    names = list(_packages(extra, lines))
    return shlex.join(["pip", "install", *names]) if names else f"pip install 'gcd-hpc[{extra}]'"


def _packages(extra: str, lines: list[str]) -> list[str]:
    """Requirements of an extra, those of the extras that it names included."""
    names: list[str] = []
    for line in lines:
        name, _, marker = (part.strip() for part in line.partition(";"))
        if not re.fullmatch(rf"extra == ['\"]{extra}['\"]", marker):
            continue
        inner = re.fullmatch(r"gcd-hpc\[(\w+)\]", name)
        names += _packages(inner[1], lines) if inner else [name]
    return names
