"""Record of one measurement of one phase: what was measured, how, and what came out."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from gcd_hpc.errors import StoreError
from gcd_hpc.files import checked_content, write_checked_json
from gcd_hpc.store.schema import Candidate


class MeasuredRecord(BaseModel):
    """One measurement of a phase, as its file in the run holds it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    """What was measured, such as ``excess``."""
    phase: str
    """Name of the phase at that time, such as ``1/5-1``."""
    candidate: str
    """Id of the structure."""
    structure_sha256: str
    """Hash of its positions, cell and elements."""
    potential_sha256: str
    settings: dict[str, Any]
    """Settings of the measurement, plain JSON values."""
    version: str
    """Version of gcd-hpc."""
    date: str
    """When it was finished, ISO 8601 with the time zone."""
    cpu_s: float
    """Processor time, engine included, s."""
    results: dict[str, Any]

    @property
    def question(self) -> str:
        """Hash of what the results depend on: structure, potential and settings."""
        return question_of(self.kind, self.structure_sha256, self.potential_sha256, self.settings)

    def write(self, path: Path) -> None:
        """Write the record with a checksum.

        Raises:
            RunDirectoryError: if the file cannot be written.
        """
        write_checked_json(path, self.model_dump())

    @classmethod
    def read(cls, path: Path) -> "MeasuredRecord | None":
        """Read a record; None if there is none.

        Raises:
            StoreError: if the file was edited or is damaged.
        """
        try:
            content = checked_content(json.loads(path.read_text(encoding="utf-8")))
            if content is not None:
                return cls.model_validate(content)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError, ValidationError):
            pass
        raise StoreError(
            f"{path}: the measurement cannot be read, because the file was edited or damaged;"
            " remove it and the same command measures again"
        )


def question_of(
    kind: str, structure_sha256: str, potential_sha256: str, settings: dict[str, Any]
) -> str:
    """Hash of what the results of a measurement depend on."""
    words = [kind, structure_sha256, potential_sha256, settings]
    return hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()


def structure_sha256(candidate: Candidate) -> str:
    """Hash of the relaxed positions, box and elements of a candidate."""
    return arrays_sha256(candidate.positions, candidate.box, candidate.numbers)


def arrays_sha256(*arrays: np.ndarray) -> str:
    """Hash of some arrays, bit for bit."""
    return hashlib.sha256(
        b"".join(np.ascontiguousarray(one).tobytes() for one in arrays)
    ).hexdigest()
