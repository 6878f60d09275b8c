"""All relaxed candidates of a run, whether they lie in many part files or in one merged file."""

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np

from gcd_hpc.errors import StoreError
from gcd_hpc.store.files import remove_leftovers, replacing, reserve
from gcd_hpc.store.hdf5 import Columns, ColumnWriter, image_for, read_columns_of, reading, write_attributes
from gcd_hpc.store.parts import check_row_fields, read_columns, read_part, read_provenance
from gcd_hpc.store.provenance import package_provenance
from gcd_hpc.store.schema import FIELDS, ROW_FIELDS, Candidate

RESULTS, INDEX = "results.h5", "index.h5"
_OWN_ATTRIBUTES = ("schema_version", "package_version", "git_commit")


class RunStore:
    """Read access to the candidates of a run directory or of a single HDF5 file.

    Parts are the truth. The index and the merged file are copies of them that can be made again at any time.

    Raises:
        StoreError: if there is no such directory or file.
    """

    def __init__(self, run_dir: str | Path) -> None:
        self.path = Path(run_dir)
        if not self.path.exists():
            raise StoreError(f"{self.path}: expected a run directory or an HDF5 file of candidates, got no such file")

    @property
    def index_path(self) -> Path:
        return self.path / INDEX

    def part_paths(self) -> list[Path]:
        """Files with relaxed candidates: the search's first, then then each model version's; the merged file if no parts are left."""
        if self.path.is_file():
            return [self.path]
        folder = self.path / "parts"
        parts = sorted(folder.glob("search/part-*.h5")) + sorted(folder.glob("model-*/relaxed/part-*.h5"))
        merged = self.path / RESULTS
        return parts if parts or not merged.is_file() else [merged]

    def columns(self, names: Sequence[str]) -> Columns:
        """Columns of all candidates without their atoms, from the index as far as it goes and from the parts after it."""
        check_row_fields(names)
        paths = self.part_paths()
        indexed = self._indexed_parts() if self.path.is_dir() else []
        if not indexed or indexed != self._signatures(paths[: len(indexed)]):
            return read_columns(paths, names)
        with reading(self.index_path) as file:
            known = read_columns_of(file, names)
        more = read_columns(paths[len(indexed) :], names)
        return {name: np.concatenate([known[name], more[name]]) for name in names}

    def candidates(self, ids: Iterable[str]) -> list[Candidate]:
        """Candidates with their atoms, in the order of ids.

        Raises:
            StoreError: if an id is unknown.
        """
        wanted = list(ids)
        rows_by_path: dict[Path, list[int]] = defaultdict(list)
        for name in dict.fromkeys(wanted):
            path, row = self._find(name)
            rows_by_path[path].append(row)
        found = {candidate.id: candidate for path, rows in rows_by_path.items() for candidate in read_part(path, rows)}
        return [found[name] for name in wanted]

    def provenance(self) -> dict[str, str]:
        """Attributes of the first file of the run; empty if there is none yet."""
        paths = self.part_paths()
        return read_provenance(paths[0]) if paths else {}

    def build_index(self) -> Path:
        """Write RUN/index.h5: the columns of all parts, and links ``parts/00000`` ... to the files with the atoms."""
        self._need_directory()
        paths = self.part_paths()
        columns = read_columns(paths, [field.name for field in ROW_FIELDS])
        with image_for(self.index_path) as file:
            writer = ColumnWriter(file, len(columns["id"]), 0, ROW_FIELDS)
            writer.append(columns)
            writer.finish()
            write_attributes(file, package_provenance())
            file["signatures"] = np.array(self._signatures(paths), dtype=h5py.string_dtype("utf-8"))
            links = file.create_group("parts")
            for number, path in enumerate(paths):
                links[f"{number:05d}"] = h5py.ExternalLink(path.relative_to(self.path).as_posix(), "/")
        return self.index_path

    def merge(self) -> Path:
        """Write RUN/results.h5: all parts in one file of the same schema, so that the parts may be archived or deleted."""
        self._need_directory()
        paths, merged = self.part_paths(), self.path / RESULTS
        if not paths:
            raise StoreError(f"{self.path}: expected relaxed candidates to merge, got no part files")
        if paths == [merged]:
            return merged
        counts = read_columns(paths, ["num_atoms"])["num_atoms"]
        with replacing(merged) as temporary:
            # Too big for memory, and HDF5 crashes on a full disk: make sure of the room first.
            reserve(temporary, sum(path.stat().st_size for path in paths))
            self._merge_into(temporary, paths, counts)
        return merged

    def _merge_into(self, target: Path, paths: list[Path], counts: np.ndarray) -> None:
        own = {name: text for name, text in read_provenance(paths[0]).items() if name not in _OWN_ATTRIBUTES}
        with h5py.File(target, "w", locking=False) as file:
            writer = ColumnWriter(file, len(counts), int(counts.sum()))
            for path in paths:
                with reading(path) as part:
                    columns = read_columns_of(part, (field.name for field in FIELDS))
                writer.append(columns)
            writer.finish()
            write_attributes(file, package_provenance() | own)

    def remove_leftovers(self) -> int:
        """Delete the temporary files of killed writers; only while nobody writes to the run."""
        self._need_directory()
        return remove_leftovers(self.path)

    def _find(self, name: str) -> tuple[Path, int]:
        if name not in self._places:
            # Parts may have come since the last look.
            self.__dict__.pop("_places", None)
        if name not in self._places:
            raise StoreError(f"{self.path}: expected the id of a candidate of this run, got {name}")
        return self._places[name]

    @cached_property
    def _places(self) -> dict[str, tuple[Path, int]]:
        return {name: (path, row) for path in self.part_paths() for row, name in enumerate(read_columns([path], ["id"])["id"].tolist())}

    def _indexed_parts(self) -> list[str]:
        if not self.index_path.is_file():
            return []
        try:
            with reading(self.index_path) as file:
                return list(file["signatures"].asstr()[...])
        except StoreError:
            return []  # The index is only a copy: a damaged one is as good as none.

    def _signatures(self, paths: Iterable[Path]) -> list[str]:
        """Name, size and time of each part: an index is believed as long as they are the same."""
        stats = [(path.relative_to(self.path).as_posix(), os.stat(path)) for path in paths]
        return [f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats]

    def _need_directory(self) -> None:
        if not self.path.is_dir():
            raise StoreError(f"{self.path}: expected a run directory, got a file")
