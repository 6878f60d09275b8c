"""Candidates as files for the browser to keep: one file as it is, several in a zip."""

import tempfile
import zipfile
from pathlib import Path
from typing import get_args

from gcd_hpc.browse.page.contents import Contents
from gcd_hpc.errors import StoreError
from gcd_hpc.store.export import Format, export
from gcd_hpc.store.index import RunStore

MAX_STRUCTURES = 5000
"""More than this take minutes: that is work for a terminal."""
SUFFIX = {"extxyz": ".xyz", "lammps-data": ".data", "lammps-dump": ".dump", "ase-db": ".db"}
"""Where it is not the name of the format."""


class _SomeParts(RunStore):
    """A run of which only the files are read that hold the candidates in question."""

    def __init__(self, path: Path, parts: list[Path]) -> None:
        super().__init__(path)
        self._parts = parts

    def part_paths(self) -> list[Path]:
        return self._parts


def download_one(contents: Contents, form: str, name: str) -> tuple[str, bytes]:
    """A candidate in an export format: name of the file and what is in it.

    Raises:
        StoreError: if the format or the candidate is unknown, or if it has no relaxed structure.
    """
    _need_known(form)
    return _download(contents, form, [name], name)


def download_selection(contents: Contents, form: str, selection: str) -> tuple[str, bytes]:
    """All candidates of a selection, as above; formats of structures leave out those that were not relaxed.

    Raises:
        StoreError: as above, if nothing is selected, or if there are too many structures.
    """
    _need_known(form)
    ids = contents.ids(selection if form == "csv" else f"{selection} status=ok")
    if not ids:
        what = "candidate" if form == "csv" else "relaxed structure"
        raise StoreError(f"download: expected at least one {what} in the selection, got none")
    if form != "csv" and len(ids) > MAX_STRUCTURES:
        cure = f"select fewer or use gcd-hpc export {contents.store.path} --format {form}"
        raise StoreError(f"download: expected at most {MAX_STRUCTURES:,} structures, got {len(ids):,}; {cure}")
    return _download(contents, form, ids, "selection")


def _need_known(form: str) -> None:
    if form not in get_args(Format):
        raise StoreError(f"format: expected one of {', '.join(get_args(Format))}, got {form}")


def _download(contents: Contents, form: str, ids: list[str], stem: str) -> tuple[str, bytes]:
    file_name = f"{stem}{SUFFIX.get(form, '.' + form)}"
    with tempfile.TemporaryDirectory(prefix="gcd-hpc-") as folder:
        out = Path(folder) / file_name
        export(_SomeParts(contents.store.path, contents.paths(ids)), form, out, ids)
        if out.is_file():
            return file_name, out.read_bytes()
        packed = Path(folder) / f"{stem}.zip"
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for path in sorted(out.rglob("*")):
                archive.write(path, path.relative_to(out))
        return packed.name, packed.read_bytes()
