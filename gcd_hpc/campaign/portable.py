"""Campaign and ledger of a run without the paths, hosts and processes of the machine it ran on."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

from gcd_hpc.campaign.events import Event, Finished, Opened, to_line
from gcd_hpc.campaign.ledger import LedgerReader
from gcd_hpc.config.reader import write
from gcd_hpc.engines.potentials import kept_name
from gcd_hpc.store.provenance import campaign_of
from gcd_hpc.store.run_directory import RunDirectory

FOLDER = "folder"
"""Key of the record of a calculator that names the folder of the campaign file."""


def portable_text(text: str, run: RunDirectory) -> str:
    """``portable_config`` of a campaign's YAML text; the text itself if nothing has to change."""
    plain = campaign_of(text)
    config = portable_config(plain, run)
    return text if config == plain else write(config)


def portable_config(plain: Mapping[str, Any], run: RunDirectory) -> dict[str, Any]:
    """Campaign as plain data whose files are named as the run keeps them.

    Files of the potential are those of the folder ``potential``, and the model that the campaign
    started from is model 0 of the run. Of other absolute paths only the last part is left.

    Args:
        plain: sections of a campaign or of a set.
        run: whose kept files they are.
    """
    config = {key: _without_folders(value) for key, value in plain.items()}
    potential = plain.get("potential")
    if isinstance(potential, Mapping):
        config["potential"] = _with_kept_files(dict(potential), run)
    if plain.get("model") is not None and run.model_file(0).is_file():
        config["model"] = run.model_file(0).relative_to(run.path).as_posix()
    if plain.get("energy_model") is not None and run.energy_model.is_file():
        config["energy_model"] = run.energy_model.relative_to(run.path).as_posix()
    return config


def _without_folders(value: Any) -> Any:
    """Plain data with the last part of each absolute path in place of the path."""
    if isinstance(value, Mapping):
        return {key: _without_folders(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_folders(one) for one in value]
    if isinstance(value, str) and value.startswith(("/", "~")) and "\n" not in value:
        return PurePath(value).name
    return value


def _with_kept_files(potential: dict[str, Any], run: RunDirectory) -> dict[str, Any]:
    """Section potential whose words and files have the names in the run's folder potential."""

    def kept(word: str) -> str:
        name = kept_name(word)
        is_kept = (run.potential / name).is_file()
        return name if is_kept else str(_without_folders(word))

    def line(text: str) -> str:
        words = [word for word in text.split() if "/" in word]
        for word in sorted(words, key=len, reverse=True):
            text = text.replace(word, kept(word))
        return text

    found = dict(potential)
    for key in ("pair_style", "pair_coeff"):
        text = potential.get(key)
        if text is not None:
            found[key] = line(text) if isinstance(text, str) else [line(one) for one in text]
    if potential.get("file"):
        found["file"] = kept(potential["file"])
    if potential.get("files"):
        found["files"] = {name: kept(path) for name, path in potential["files"].items()}
    return found


def portable_calculator(content: bytes) -> bytes:
    """Record of an ASE calculator without the folder of the campaign file.

    Raises:
        ValueError: if it is no JSON.
    """
    record = json.loads(content)
    if isinstance(record, dict) and FOLDER in record:
        record[FOLDER] = "."
    return json.dumps(record, indent=1).encode() + b"\n"


def portable_ledger(run_dir: Path) -> bytes:
    """Ledger of a run whose drivers and workers have numbers in place of hosts and processes.

    Raises:
        RunDirectoryError: if a line is damaged.
    """
    lines, crc = [], 0
    for event in _without_hosts(LedgerReader(run_dir).new_events()):
        line, crc = to_line(event, crc)
        lines.append(line)
    return b"".join(lines)


def _without_hosts(events: Iterator[Event]) -> Iterator[Event]:
    workers: dict[str, str] = {}
    for number, event in enumerate(events):
        if isinstance(event, Opened):
            yield replace(event, host="", pid=0, token=f"session-{number}", created=event.time)
        elif isinstance(event, Finished) and event.worker:
            name = workers.setdefault(event.worker, f"worker-{len(workers) + 1}")
            yield replace(event, worker=name)
        else:
            yield event
