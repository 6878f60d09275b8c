"""Quarantine: input and traceback of candidates on which a bug of this program occurred."""

import traceback
from pathlib import Path

from ase import Atoms

from gcd_hpc.errors import LaunchError, PotentialError, RunDirectoryError
from gcd_hpc.files import replacing
from gcd_hpc.store.provenance import package_provenance
from gcd_hpc.structures.files import write_structures

STRUCTURE, TRACEBACK = "structure.extxyz", "traceback.txt"
NOT_THE_CANDIDATES_FAULT = (OSError, MemoryError, LaunchError, PotentialError, RunDirectoryError)
"""Errors that other candidates would meet too, so that they end the task."""


def set_aside(folder: Path, error: Exception, atoms: Atoms | None) -> str:
    """Write a candidate and its error into a folder, and return the reason in one line.

    Args:
        folder: folder of this candidate; files of an earlier attempt are replaced.
        atoms: unrelaxed structure; None if the bug occurred before there was one.

    Raises:
        RunDirectoryError: if the folder is not writable, because a bug must not be lost.
    """
    if atoms is not None:
        with replacing(folder / STRUCTURE) as temporary:
            write_structures(temporary, [atoms], "extxyz")
    origin = " ".join(f"{name}={value}" for name, value in package_provenance().items())
    trace = "".join(traceback.format_exception(error))
    with replacing(folder / TRACEBACK) as temporary:
        temporary.write_text(f"{folder.name} {origin}\n{trace}", encoding="utf-8")
    first_line = (str(error).splitlines() or [""])[0]
    return f"bug: {type(error).__name__}: {first_line}"
