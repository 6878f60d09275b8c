"""Read access to the relaxed candidates of a run, in many part files or in one merged file."""

import os
import time
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np

from gcd_hpc.errors import RunDirectoryError, StoreError
from gcd_hpc.files import cache_file, replacing, reserve
from gcd_hpc.store.candidate_file import reading
from gcd_hpc.store.catalogue import Catalogue, open_catalogue, write_catalogue
from gcd_hpc.store.hdf5 import (
    FORMAT,
    ColumnWriter,
    write_attributes,
)
from gcd_hpc.store.parts import read_columns, read_origin
from gcd_hpc.store.provenance import package_provenance
from gcd_hpc.store.rows import Rows, rows_of
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.schema import FIELDS
from gcd_hpc.store.strict import what_is_at

LATE_PARTS, LATE_SHARE = 20, 0.05
"""The index is rewritten when more parts than this number and this share are missing from it.

Opening a part takes milliseconds; writing the index of a million candidates takes seconds.
"""

KEPT_S = 90 * 86400
"""Age at which an unchanged index is deleted, s."""


class RunStore:
    """Read access to the candidates of a run directory or of a single HDF5 file.

    The part files hold the data; the index and the merged file are copies that can be remade.

    Raises:
        StoreError: if there is no such directory or file, or if it is of a set of boundaries.
    """

    def __init__(self, run_dir: str | Path) -> None:
        self.path = Path(run_dir)
        if RunDirectory(self.path).is_set():
            raise StoreError(
                f"{self.path}: is a set of boundaries; choose one:"
                f" {RunDirectory(self.path).member('NAME').path}, or compare them all with gcd-hpc"
                " overview"
            )
        if not (self.path.is_file() or RunDirectory(self.path).is_run()):
            raise StoreError(f"{self.path}: holds no results ({self._instead()}")

    def _instead(self) -> str:
        """What there is in place of results, and what to name: the end of the error's sentence."""
        run = RunDirectory(self.path.parent)
        if self.path == run.results and run.is_run():
            return (
                "no such file); a campaign writes it when it ends or pauses: name the run"
                f" directory {run.path}, which can be read at any time"
            )
        found = "a folder without a run" if self.path.is_dir() else what_is_at(self.path)
        return f"{found}); name a run directory or an HDF5 file of candidates"

    @property
    def index_path(self) -> Path | None:
        """Path of this run's index in the user's cache folder, as reading never writes into a run.

        None for a single file, or if there is no cache folder.
        """
        return cache_file("index", self.path, ".h5") if self.path.is_dir() else None

    def part_paths(self) -> list[Path]:
        """Files with relaxed candidates: parts of the search, then of each round.

        Only the merged file if no parts are left.
        """
        if self.path.is_file():
            return [self.path]
        run = RunDirectory(self.path)
        parts = run.all_relaxed_parts()
        return parts if parts or not run.results.is_file() else [run.results]

    def rows(self, in_memory: bool = False) -> Rows:
        """Rows of all candidates at this moment.

        The index is written anew when many parts are missing from it. This is safe while a campaign
        runs and others read: a new file is renamed over the old one, which its readers keep open.

        Args:
            in_memory: keep every column that was read of a part.
        """
        parts, path = self._signed_parts(), self.index_path
        index = open_catalogue(path) if path is not None else None
        if path is not None and _is_behind(index, parts):
            with suppress(RunDirectoryError):  # A full disk is no reason not to read.
                self.build_index(index)
            index = open_catalogue(path)
        return rows_of(parts, index, in_memory)

    def build_index(self, before: Catalogue | None = None) -> None:
        """Write the index of all parts; parts covered by the index ``before`` are not read again.

        Raises:
            StoreError: naming the part that is damaged.
            RunDirectoryError: if the index cannot be written.
        """
        assert self.index_path is not None
        write_catalogue(self.index_path, self._signed_parts(), before)
        _forget_old(self.index_path.parent)

    def merge(self) -> Path:
        """Write all parts into RUN/results.h5, so that the parts may be archived or deleted.

        Raises:
            StoreError: if there are no parts, or if one is damaged.
            RunDirectoryError: if the file cannot be written.
        """
        if not self.path.is_dir():
            raise StoreError(f"{self.path}: a single file is no run directory; name the directory")
        paths, merged = self.part_paths(), RunDirectory(self.path).results
        if not paths:
            raise StoreError(f"{self.path}: nothing to merge: there are no relaxed candidates yet")
        if paths == [merged]:
            return merged
        self.write_all(merged)
        return merged

    def write_all(self, target: Path, **changed: str) -> None:
        """Write all candidates into one file.

        Args:
            changed: attributes of the file that replace those of the parts.

        Raises:
            StoreError: if a part is damaged.
            RunDirectoryError: if the file cannot be written.
        """
        paths = self.part_paths()
        counts = read_columns(paths, ["num_atoms"])["num_atoms"]
        with replacing(target) as temporary:
            # HDF5 crashes on a full disk, so the space is reserved first.
            reserve(temporary, sum(path.stat().st_size for path in paths))
            self._merge_into(temporary, paths, counts, changed)

    def _merge_into(
        self, target: Path, paths: list[Path], counts: np.ndarray, changed: dict[str, str]
    ) -> None:
        with h5py.File(target, "w", locking=False, libver=FORMAT) as file:
            writer = ColumnWriter(file, len(counts), int(counts.sum()))
            for path in paths:
                with reading(path) as part:
                    columns = part.columns(field.name for field in FIELDS)
                writer.append(columns)
            writer.finish()
            write_attributes(file, read_origin(paths[0]) | package_provenance() | changed)

    def _signed_parts(self) -> list[tuple[str, Path]]:
        """Files of ``part_paths``, each with a signature of its name, size and modification time.

        The index is valid for a part as long as the signature is the same.
        """
        parts = []
        for path in self.part_paths():
            with suppress(FileNotFoundError):  # gone since it was listed
                stat, name = os.stat(path), path.relative_to(self.path).as_posix()
                parts.append((f"{name} {stat.st_size} {stat.st_mtime_ns}", path))
        return parts


def _forget_old(folder: Path) -> None:
    """Delete indexes and ledger checkpoints that were not rewritten for KEPT_S seconds."""
    for path in (*folder.glob("index-*.h5"), *folder.glob("ledger-*.state")):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > KEPT_S:
                path.unlink()


def _is_behind(index: Catalogue | None, parts: list[tuple[str, Path]]) -> bool:
    late = sum(signature not in index.rows for signature, _ in parts) if index else len(parts)
    return late > max(LATE_PARTS, LATE_SHARE * len(parts))
