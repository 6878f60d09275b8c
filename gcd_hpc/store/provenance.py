"""Provenance of files: package version, git commit and the resolved campaign."""

import shutil
import subprocess
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gcd_hpc.config.loader import AnyCampaign, dump
from gcd_hpc.config.material import MaterialConfig
from gcd_hpc.config.reader import parse
from gcd_hpc.errors import GcdError


def campaign_provenance(config: AnyCampaign, **more: str) -> dict[str, str]:
    """Attributes for files of a campaign: title, seed, resolved config as YAML, and ``more``."""
    what = "Structures" if isinstance(config, MaterialConfig) else "Grain boundary candidates"
    return {
        "title": f"{what} of {config.name}",
        "config": dump(config),
        "seed": str(config.seed),
        **more,
    }


@lru_cache
def campaign_of(config: str) -> dict[str, Any]:
    """Sections of the campaign in a file's attribute ``config``; empty if it is not readable."""
    try:
        campaign = parse(config, "config")
    except GcdError:
        return {}
    return campaign if isinstance(campaign, dict) else {}


def section_of(config: str, name: str) -> dict[str, Any]:
    """One section of the attribute ``config``; empty if it is missing."""
    section = campaign_of(config).get(name)
    return section if isinstance(section, dict) else {}


def package_provenance() -> dict[str, str]:
    """Version of this package and the git commit that it runs from."""
    return {"package_version": version("gcd-hpc"), "git_commit": git_commit()}


@lru_cache(maxsize=1)
def git_commit() -> str:
    """Git commit of the package's checkout, with ``-dirty`` for local changes, else ``unknown``."""
    if shutil.which("git") is None:
        return "unknown"
    git = ["git", "-C", str(Path(__file__).parent)]
    # An installed package may lie inside an unrelated repository, which does not track it.
    if subprocess.run(
        [*git, "ls-files", "--error-unmatch", "__init__.py"], capture_output=True, check=False
    ).returncode:
        return "unknown"
    describe = [*git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    described = subprocess.run(describe, capture_output=True, text=True, check=False)
    return described.stdout.strip() or "unknown"
