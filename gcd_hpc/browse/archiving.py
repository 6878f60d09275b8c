"""Archive of a run or a set: all that is needed to check and repeat it, readable without gcd-hpc.

It is a run directory, so that every command that reads a run reads it too. The same run gives the
same bytes.
"""

import hashlib
import os
import shutil
import tempfile
import zipfile
from importlib import resources
from pathlib import Path

from gcd_hpc.browse.archive_texts import (
    citation_text,
    environment_text,
    licence_text,
    potential_text,
    readme_of_run,
    readme_of_set,
)
from gcd_hpc.campaign.portable import (
    portable_calculator,
    portable_config,
    portable_ledger,
    portable_text,
)
from gcd_hpc.config.reader import write
from gcd_hpc.engines.loading import SPECIFICATION
from gcd_hpc.errors import RunDirectoryError, StoreError
from gcd_hpc.files import cannot_write, output
from gcd_hpc.store.index import RunStore
from gcd_hpc.store.parts import read_origin, write_part
from gcd_hpc.store.run import open_run
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.run_set import RunSet

READER = "read_results.py"
SUMS = "SHA256SUMS"
ZIP = ".zip"
FIRST_DATE = (1980, 1, 1, 0, 0, 0)
"""Date of every file in a zip, the earliest that the format has: equal content is equal bytes."""
MODE = 0o100644
PIECE = 1 << 20


def write_archive(run: Path, out: Path, selection: str = "") -> int:
    """Write the archive of a run, of a file of results or of a set; return its number of files.

    Nothing is written into the run.

    Args:
        out: name of a zip if it ends in .zip, else of a folder that is new or empty.
        selection: conditions of the candidates that the archive keeps; all if empty.

    Raises:
        StoreError: if there are no candidates, or if the selection is wrong.
        RunDirectoryError: if ``out`` lies in the run, holds files, or cannot be written.
    """
    run, place = run.absolute(), Path(os.path.realpath(out))
    _check_place(run, out, place)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".archive-", dir=place.parent) as temporary:
            folder = Path(temporary) / _stem(place)
            folder.mkdir()
            if RunSet.is_set(run):
                _fill_set(RunSet.open(run), folder, selection)
            else:
                _fill_run(run, folder, selection)
            _add_texts(folder)
            names = _write_sums(folder)
            if place.suffix == ZIP:
                with output(place) as target:
                    _write_zip(folder, target)
            else:
                os.replace(folder, place)
    except OSError as error:
        raise cannot_write(out, error) from error
    return len(names) + 1


def _check_place(run: Path, out: Path, place: Path) -> None:
    if run.is_dir() and place.is_relative_to(os.path.realpath(run)):
        raise RunDirectoryError(
            f"cannot write {out}: it lies in the run that it is the archive of; choose another"
            " --out"
        )
    if place.suffix == ZIP:
        return
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise RunDirectoryError(
            f"cannot write {out}: there are files already; choose a new folder, or a name that"
            f" ends in {ZIP}"
        )


def _stem(place: Path) -> str:
    """Name of the folder that a zip unpacks to, or of the folder itself."""
    return place.stem if place.suffix == ZIP else place.name


def _fill_run(run: Path, folder: Path, selection: str) -> None:
    """Campaign, candidates, ledger and kept files of one run, and what they are."""
    _fill_member(run, folder, selection)
    (folder / "README.md").write_text(readme_of_run(folder, selection), encoding="utf-8")


def _fill_set(opened: RunSet, folder: Path, selection: str) -> None:
    """The same for every boundary of a set that holds candidates, and the campaign of the set."""
    target, chosen = RunDirectory(folder), opened.select(selection)
    if not any(map(len, chosen.values())):
        raise StoreError(f"{opened.path}: nothing to archive: no boundary has such candidates")
    names = [name for name, found in chosen.items() if len(found)]
    for name in names:
        place = target.member(name).path
        place.mkdir(parents=True)
        _fill_member(opened.directory(name), place, selection)
    source = RunDirectory(opened.path)
    plain = portable_config(opened.config.plain(), RunDirectory(opened.directory(names[0])))
    target.config.write_text(write(plain), encoding="utf-8")
    if source.ledger.is_file():
        target.ledger.write_bytes(portable_ledger(opened.path))
    (folder / "README.md").write_text(readme_of_set(folder, names, selection), encoding="utf-8")


def _fill_member(run: Path, folder: Path, selection: str) -> None:
    source, target = RunDirectory(run), RunDirectory(folder)
    opened = open_run(run)
    chosen = opened.select(selection)
    if not len(chosen):
        among = f" with {selection}" if selection else ""
        raise StoreError(f"{run}: nothing to archive: there are no candidates{among}")
    config = opened.provenance.get("config", "")
    portable = portable_text(config, source)
    if selection:
        parts = RunStore(run).part_paths()
        write_part(target.results, list(chosen), read_origin(parts[0]) | {"config": portable})
    else:
        RunStore(run).write_all(target.results, config=portable)
    own = source.config.read_text(encoding="utf-8") if source.config.is_file() else config
    target.config.write_text(portable_text(own, source), encoding="utf-8")
    if source.ledger.is_file():
        target.ledger.write_bytes(portable_ledger(run))
    for path in source.kept_files() if run.is_dir() else ():
        copy = folder / path.relative_to(run)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.name == SPECIFICATION.name:
            copy.write_bytes(portable_calculator(path.read_bytes()))
        else:
            shutil.copyfile(path, copy)
    notice = potential_text(target)
    if notice:
        (target.potential / "NOTICE.txt").write_text(notice, encoding="utf-8")


def _add_texts(folder: Path) -> None:
    """Reader, environment, licence and citation."""
    reader = resources.files("gcd_hpc.store").joinpath(READER).read_bytes()
    (folder / READER).write_bytes(reader)
    (folder / "environment.txt").write_text(environment_text(), encoding="utf-8")
    (folder / "CITATION.cff").write_text(citation_text(), encoding="utf-8")
    (folder / "LICENSE").write_text(licence_text(), encoding="utf-8")


def _write_sums(folder: Path) -> list[str]:
    """Checksums of all files in the form that ``sha256sum -c`` reads; return their names."""
    names = sorted(_names(folder))
    lines = [f"{_sha256(folder / name)}  {name}\n" for name in names]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")
    return names


def _names(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _write_zip(folder: Path, target: Path) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(_names(folder)):
            info = zipfile.ZipInfo(f"{folder.name}/{name}", FIRST_DATE)
            info.external_attr = MODE << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            with (folder / name).open("rb") as source, archive.open(info, "w") as entry:
                shutil.copyfileobj(source, entry, PIECE)
