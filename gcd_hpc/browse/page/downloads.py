"""Downloads of the page: candidates as one file, or several files in a zip."""

import tempfile
import zipfile
from pathlib import Path

from gcd_hpc.browse.page.contents import Contents
from gcd_hpc.errors import StoreError
from gcd_hpc.store.export import SUFFIXES, export
from gcd_hpc.store.run import Run

MAX_STRUCTURES = 5000
"""Largest number of structures in one download; more take minutes."""
_SUFFIX = {"ase-db": "db", "extxyz": "xyz"} | {
    str(form): suffix for form, suffix in SUFFIXES.items()
}


def download_one(contents: Contents, form: str, name: str) -> tuple[str, bytes]:
    """File name and content of one candidate in an export format.

    Raises:
        StoreError: if the format or the candidate is unknown, or if it has no relaxed structure.
    """
    return _download(contents.run()[[name]], form, name)


def download_selection(contents: Contents, form: str, selection: str) -> tuple[str, bytes]:
    """File name and content of all candidates of a selection in an export format.

    Formats of structures leave out candidates that were not relaxed.

    Raises:
        StoreError: if the format or selection is wrong, nothing is selected, or there are more than
            MAX_STRUCTURES structures.
    """
    num = contents.page(f"{selection} status=ok", "energy", False, 0, 0)["total"]
    if form != "csv" and num > MAX_STRUCTURES:
        cure = f"select fewer or use gcd-hpc export {contents.path} --format {form}"
        raise StoreError(
            f"a download holds at most {MAX_STRUCTURES:,} structures, got {num:,}; {cure}"
        )
    return _download(contents.selected(selection), form, "selection")


def _download(run: Run, form: str, stem: str) -> tuple[str, bytes]:
    file_name = f"{stem}.{_SUFFIX.get(form, form)}"
    with tempfile.TemporaryDirectory(prefix="gcd-hpc-") as folder:
        # The temporary file never takes its name from the request.
        out = Path(folder) / "out"
        export(run, form, out)
        if out.is_file():
            return file_name, out.read_bytes()
        packed = Path(folder) / "packed.zip"
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for path in sorted(out.rglob("*")):
                archive.write(path, path.relative_to(out))
        return f"{stem}.zip", packed.read_bytes()
