"""Errors of the package. The message is a sentence for the user; the exit code is 2.

The raw arguments go to ``super().__init__`` and ``__str__`` forms the sentence, so that every error
survives pickling between processes.
"""

from collections.abc import Iterable
from difflib import get_close_matches

# Control characters except tab and line feed, and those that reverse the direction of writing.
_CONTROLS = dict.fromkeys(
    [*range(9), *range(11, 32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A)],
    "\N{REPLACEMENT CHARACTER}",
)
_MAX_SHOWN = 80
"""Longest piece of a user's text in a message."""


class GcdError(Exception):
    """An error that the user can correct."""

    exit_code = 2


class ConfigError(GcdError):
    """A key of a campaign or site file is unknown, missing or out of range."""

    def __init__(self, source: str, key: str, problem: str) -> None:
        super().__init__(source, key, problem)
        self.source = source
        self.key = key
        self.problem = problem

    def __str__(self) -> str:
        return (
            f"{self.source}: {self.key}: {self.problem}"
            if self.key
            else f"{self.source}: {self.problem}"
        )


class OrientationError(GcdError):
    """Two triads of Miller indices that do not make a grain boundary."""


class StructureError(GcdError):
    """A structure file or a set of positions that is not a bicrystal of the campaign's boundary."""


class PotentialError(GcdError):
    """An interatomic potential that cannot be found or that LAMMPS refuses."""


class MissingPotentialError(PotentialError):
    """A file of an interatomic potential that is in none of the folders searched for it."""

    def __init__(self, name: str, searched: str) -> None:
        super().__init__(name, searched)
        self.name = name
        self.searched = searched

    def __str__(self) -> str:
        return (
            f"potential file {shortened(repr(self.name))} not found in {self.searched}; lay it"
            " beside the campaign file or name its folder in LAMMPS_POTENTIALS"
        )


class SimulationError(GcdError):
    """LAMMPS could not evaluate a structure: recorded as a failed candidate, never retried."""

    atom_evaluations = 0
    """Force evaluations times atoms of the relaxations that were finished before the failure."""


class StoreError(GcdError):
    """An HDF5 file that is missing, cut short or of another schema."""


class FileFault(StoreError):
    """A file of candidates that is not what was expected, with the expected and actual content."""

    def __init__(self, file: str, field: str, expected: str, got: str) -> None:
        super().__init__(file, field, expected, got)
        self.file = file
        """Path of the file; empty where it is not known."""
        self.field = field
        """Dataset or group; empty if the fault is of the whole file."""
        self.expected = expected
        self.got = got

    def __str__(self) -> str:
        where = ": ".join(filter(None, (self.file, self.field)))
        return f"{where}: expected {self.expected}, got {self.got}"


class CheckpointError(GcdError):
    """A model file that is missing, damaged or made for another network."""


class TrainingError(GcdError):
    """A training whose loss or gradients are no longer finite."""


class LaunchError(GcdError):
    """A launcher (mpiexec, torchrun), Parsl or LAMMPS that is missing or failed."""


class QuarantineError(GcdError):
    """More of a campaign's work was quarantined than its file allows."""


class RunDirectoryError(GcdError):
    """A run directory that is not writable, full, in use, or belongs to another campaign."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Text "; did you mean ...?" with the nearest known word; empty if none is near."""
    by_lower = {name.lower(): name for name in known}
    near = get_close_matches(word[:80].lower(), by_lower, n=1)
    return f"; did you mean {by_lower[near[0]]}?" if near else ""


def shortened(text: str) -> str:
    """A piece of a user's text for a message: cut where it is too long, and without characters
    that would end the line or steer a terminal.
    """
    short = text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 3]}..."
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in short)


def one_line(message: str) -> str:
    """Message without line breaks and control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in message).split())


def reason_of(error: BaseException) -> str:
    """Reason that another package's error gives, which may repeat parts of a damaged file, for a
    sentence of ours: one line of at most 200 characters.
    """
    return one_line(str(error))[:200] or type(error).__name__


def printable(text: str) -> str:
    """Text without terminal control characters."""
    return text if text.isprintable() else text.translate(_CONTROLS)
