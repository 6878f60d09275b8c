"""Files that come with the package: campaigns, sites and batch scripts."""

import os
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
        raise ConfigError(name, "", f"does not come with gcd-hpc: expected it in {path.parent}")
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
