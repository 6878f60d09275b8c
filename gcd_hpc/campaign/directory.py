"""The run directory: made, or recognised as the same campaign's."""

import os
from pathlib import Path
from typing import Any

from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.loader import dump, load_campaign
from gcd_hpc.errors import ConfigError, RunDirectoryError
from gcd_hpc.files import replacing
from gcd_hpc.store.run_directory import RunDirectory

GROWING = "budget"
"""The section that may change between two sessions of a campaign."""
MIN_FREE_BYTES = 16 * 2**20


def open_run_directory(run_dir: Path) -> None:
    """Make the folder if it is not there, and see that it can be written to.

    Raises:
        RunDirectoryError: if it cannot.
    """
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        free = os.statvfs(run_dir)
    except OSError as error:
        raise RunDirectoryError(
            f"{run_dir}: expected a folder to write to, got:"
            f" {(error.strerror or str(error)).lower()}"
        ) from error
    if not os.access(run_dir, os.W_OK | os.X_OK):
        raise RunDirectoryError(
            f"{run_dir}: expected a folder to write to, got one that is read-only"
        )
    if free.f_bavail * free.f_frsize < MIN_FREE_BYTES:
        got = free.f_bavail * free.f_frsize // 2**20
        raise RunDirectoryError(
            f"{run_dir}: expected at least {MIN_FREE_BYTES // 2**20} MiB of free disk space, got"
            f" {got} MiB"
        )


def settle_config(run_dir: Path, config: CampaignConfig) -> None:
    """Write the resolved config, or see that the run was started with the same one; a larger budget
    continues a campaign.

    Raises:
        RunDirectoryError: if another key changed, naming the first one.
    """
    path = RunDirectory(run_dir).config
    if path.exists():
        try:
            before = load_campaign(path)
        except ConfigError as error:
            raise RunDirectoryError(
                f"{path}: expected the config of this run, got a damaged file ({error})"
            ) from error
        check_same(run_dir, before, config)
        if before == config:
            return
    with replacing(path) as temporary:
        temporary.write_text(dump(config))


def check_same(run_dir: Path, before: CampaignConfig, config: CampaignConfig) -> None:
    """Refuse another campaign in the same run directory."""
    difference = _first_difference(
        before.model_dump(mode="json", exclude={GROWING}),
        config.model_dump(mode="json", exclude={GROWING}),
    )
    if difference is not None:
        key, old, new = difference
        raise RunDirectoryError(
            f"{run_dir} holds a campaign with {key} = {old}, got {new}: only {GROWING}.* may change"
            " between sessions; go back to the old value or choose another --run-dir"
        )


def _first_difference(before: Any, after: Any, path: str = "") -> tuple[str, Any, Any] | None:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in {**before, **after}:
            found = _first_difference(
                before.get(key), after.get(key), f"{path}.{key}" if path else key
            )
            if found is not None:
                return found
        return None
    return None if before == after else (path, before, after)
