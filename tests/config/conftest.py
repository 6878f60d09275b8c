"""A minimal campaign file, and the message of a changed one."""

from pathlib import Path

import pytest
import yaml

from gcd_hpc.config.loader import load_campaign
from gcd_hpc.errors import ConfigError

MINIMAL = """\
name: minimal
boundary:
  element: W
  lattice: bcc
  lower: {x: [3, -1, 0], y: [1, 3, 0], z: [0, 0, 1]}
  upper: {x: [3, 1, 0], y: [-1, 3, 0], z: [0, 0, 1]}
potential: {pair_style: eam/alloy, pair_coeff: "* * {file} W", file: W_zhou.eam.alloy}
voxels: {shape: [12, 12, 72]}
search: {num_tries: 60}
sampling: {num_candidates: 20}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The working directory, so that messages hold file names only."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def load(folder):
    """Loads a campaign from text."""

    def load_text(text: str = MINIMAL, *overrides: str):
        (folder / "c.yaml").write_text(text, encoding="utf-8")
        return load_campaign("c.yaml", overrides)

    return load_text


@pytest.fixture
def message(load):
    """What is said about a campaign text."""

    def message_of(text: str, *overrides: str) -> str:
        with pytest.raises(ConfigError) as caught:
            load(text, *overrides)
        return str(caught.value)

    return message_of


@pytest.fixture
def message_with(message):
    """Error message of the minimal campaign with one key set to a value."""

    def message_of(key: str, value: object) -> str:
        data = yaml.safe_load(MINIMAL)
        *sections, last = key.split(".")
        section = data
        for name in sections:
            section = section.setdefault(name, {})
        section[last] = value
        return message(yaml.safe_dump(data))

    return message_of


@pytest.fixture
def minimal() -> str:
    return MINIMAL
