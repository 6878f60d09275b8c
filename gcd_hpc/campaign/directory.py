"""Creation of a run directory, and the checks that it belongs to the same campaign."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.loader import (
    AnyCampaign,
    dump,
    dump_set,
    load_any_campaign,
    parse_any_campaign,
)
from gcd_hpc.config.set import SetConfig
from gcd_hpc.config.starting import energy_file, starting_file
from gcd_hpc.errors import ConfigError, RunDirectoryError, StoreError
from gcd_hpc.files import replacing
from gcd_hpc.store.run_directory import RunDirectory

GROWING = "budget"
"""Section of the campaign file that may change between sessions."""
MIN_FREE_BYTES = 16 * 2**20


@contextmanager
def opened_run_directory(run: RunDirectory) -> Iterator[None]:
    """Create the run directory if needed and check that it is writable.

    If the block fails, a new directory without products is removed again, and so are new folders
    above it.

    Raises:
        RunDirectoryError: if it is not writable, or holds files that are not a run's.
    """
    new = [folder for folder in (run.path, *run.path.parents) if not folder.exists()]
    _refuse_foreign(run)
    _open(run.path)
    try:
        yield
    except BaseException:
        with suppress(OSError):
            if new and not run.ledger.stat().st_size:
                run.ledger.unlink()
            for folder in new:
                folder.rmdir()
        raise


def _open(run_dir: Path) -> None:
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        free = os.statvfs(run_dir)
    except OSError as error:
        raise RunDirectoryError(
            f"cannot make the run directory {run_dir}: {(error.strerror or str(error)).lower()};"
            " choose another --run-dir"
        ) from error
    if not os.access(run_dir, os.W_OK | os.X_OK):
        raise RunDirectoryError(
            f"cannot write to the run directory {run_dir}: it is read-only; choose another"
            " --run-dir"
        )
    if free.f_bavail * free.f_frsize < MIN_FREE_BYTES:
        got = free.f_bavail * free.f_frsize // 2**20
        raise RunDirectoryError(
            f"cannot start in {run_dir}: {got} MiB of disk space are free, and a run needs at least"
            f" {MIN_FREE_BYTES // 2**20} MiB; free some or choose another --run-dir"
        )


def _refuse_foreign(run: RunDirectory) -> None:
    """Refuse a directory that is not a run but holds files with the names of a run's files.

    Other files are accepted: a run neither reads nor changes them.
    """
    folders = _folders(run)
    if run.ledger.is_file() or (run.config.is_file() and any(map(Path.is_dir, folders))):
        return
    ours = (run.config, run.results, run.summary, run.figure, *folders)
    taken = [path.name for path in ours if path.exists()]
    if taken:
        raise RunDirectoryError(
            f"{run.path}: cannot be a run directory, because it holds {', '.join(taken)} but no"
            f" {run.ledger.name}, so that these may be files of somebody else; choose another"
            " --run-dir"
        )


def has_results(run: RunDirectory) -> bool:
    """True if a run has products: a part of candidates or a training set."""
    return bool(run.all_relaxed_parts() or run.training_sets())


def check_config(run: RunDirectory, config: AnyCampaign) -> None:
    """Check that a run was started with the same config, the budget excepted.

    Raises:
        RunDirectoryError: with the first key that changed, or if the run's copy of the config was
            edited after candidates were made with it.
    """
    if not run.config.exists():
        return
    try:
        before = load_any_campaign(run.config)
    except ConfigError as error:
        raise RunDirectoryError(
            f"{run.config}: the config of this run cannot be read ({error}); put it back from a"
            " copy or choose another --run-dir"
        ) from error
    found = _first_difference(before, config)
    if found is not None:
        key, old, new = found
        raise RunDirectoryError(
            f"{run.path} cannot be resumed with {key} = {new}, because it was started with {old}"
            f" and only {GROWING}.* may change; go back to the old value or choose another"
            " --run-dir"
        )
    part = next(iter(run.known_parts(1)), None)
    text = None if part is None else _config_of(part)
    found = None if text is None else _first_difference(parse_any_campaign(text, str(part)), config)
    if found is not None:
        key, old, new = found
        raise RunDirectoryError(
            f"{run.config}: {key} = {new} cannot be used, because the candidates of {part} were"
            f" made with {old}; go back to the old value or choose another --run-dir"
        )


def write_config(run: RunDirectory, config: AnyCampaign) -> None:
    """Write the resolved config into the run directory."""
    if not run.config.exists() or load_any_campaign(run.config) != config:
        with replacing(run.config) as temporary:
            temporary.write_text(dump(config), encoding="utf-8")


def write_model(run: RunDirectory, config: CampaignConfig, folder: Path) -> None:
    """Copy the model that the campaign starts from into the run directory, as model 0, and the
    energy model.

    ``settle_inputs`` has compared them with those of earlier sessions, so that a copy which differs
    is damaged.

    Args:
        folder: of the campaign file, in which models are looked for first.
    """
    copies = []
    if config.model is not None:
        copies.append((starting_file(config, folder, config.name), run.model_file(0)))
    if config.energy_model is not None:
        copies.append((energy_file(config, folder, config.name), run.energy_model))
    for file, copy in copies:
        content = file.read_bytes()
        if not copy.exists() or copy.read_bytes() != content:
            with replacing(copy) as temporary:
                temporary.write_bytes(content)


def check_kind(run: RunDirectory, is_set: bool) -> None:
    """Refuse the run directory of a single campaign for a set, and that of a set for a campaign.

    Raises:
        RunDirectoryError: if it is of the other kind.
    """
    if run.config.exists() and is_set != run.boundaries.is_dir():
        held, wanted = "the campaign of one boundary", "a set of boundaries"
        if not is_set:
            held, wanted = wanted, held
        raise RunDirectoryError(
            f"{run.path}: holds {held}, and cannot be continued as {wanted}; choose another"
            " --run-dir"
        )


def write_set(run: RunDirectory, config: SetConfig) -> None:
    """Write the resolved file of a set into its run directory."""
    with replacing(run.config) as temporary:
        temporary.write_text(dump_set(config), encoding="utf-8")


def _folders(run: RunDirectory) -> tuple[Path, ...]:
    """Directories that hold a run's products."""
    return (
        run.search_part(0).parents[1],
        run.model_dir(1).parent,
        run.begun("task").parent,
        run.boundaries,
    )


def _config_of(part: Path) -> str | None:
    # A late import: HDF5 is loaded only if there is a part to read.
    from gcd_hpc.store.parts import read_origin

    try:
        return read_origin(part).get("config") or None
    except StoreError:
        return None  # a damaged part is made again later


def _first_difference(before: AnyCampaign, after: AnyCampaign) -> tuple[str, Any, Any] | None:
    """Path and both values of the first key outside the budget that differs, or None."""
    return _differing(
        before.model_dump(mode="json", exclude={GROWING}),
        after.model_dump(mode="json", exclude={GROWING}),
    )


def _differing(before: Any, after: Any, path: str = "") -> tuple[str, Any, Any] | None:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in {**before, **after}:
            found = _differing(before.get(key), after.get(key), f"{path}.{key}" if path else key)
            if found is not None:
                return found
        return None
    return None if before == after else (path, before, after)
