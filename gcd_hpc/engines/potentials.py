"""Interatomic potentials as LAMMPS commands and files, identified by their content."""

import hashlib
import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any, ClassVar

from ase.data import atomic_masses, atomic_numbers, chemical_symbols

from gcd_hpc.config.campaign import PotentialConfig
from gcd_hpc.config.shipped import install_command
from gcd_hpc.engines.elements import check_elements
from gcd_hpc.engines.installed import shipped_potentials
from gcd_hpc.engines.setfl import base_style, is_embedded_atom, shortened
from gcd_hpc.errors import MissingPotentialError, PotentialError
from gcd_hpc.files import GZIP

LOCAL_STYLES = ("zbl", "meam/spline", "mliap", "pace", "pod", "snap")
"""Pair styles in which, as in embedded-atom potentials, the energy of an atom depends only on the
neighbours within its cutoff. tests/engines/test_pair_styles.py measures it.
"""
_NUMBER = re.compile(r"[-+\d.*eE]+")
_FILE_NAME = re.compile(r"[^\s=]+\.[A-Za-z]\w*")
"""Pattern of words that can only be file names."""

Find = Callable[[str], Path | None]


@dataclass(frozen=True)
class Potential:
    """An interatomic potential for LAMMPS.

    The commands use short ASCII file names, which are links in the folder of the LAMMPS process:
    LAMMPS cannot open every path that a file system allows.
    """

    pair_style: str
    pair_coeff: tuple[str, ...]
    """Arguments of each pair_coeff command."""
    commands: tuple[str, ...]
    """Further commands, run after pair_coeff."""
    files: Mapping[str, Path]
    """Paths of the files, by their names in the commands."""
    elements: tuple[str, ...]
    """Elements of LAMMPS' atom types, in their order."""
    sha256: str
    """Hash of the commands and the contents of all files, independent of their paths."""
    accelerator: str = "none"
    """Package whose variants of the pair style are run."""
    made: Mapping[str, bytes] = field(default_factory=dict)
    """Contents of files that exist nowhere else, by their names in the commands."""

    program: ClassVar[str] = "LAMMPS"
    worker: ClassVar[str] = "gcd_hpc.engines.lammps_worker"
    is_local: ClassVar[bool] = True
    has_energies: ClassVar[bool] = True
    states_cutoff: ClassVar[bool] = True

    def __str__(self) -> str:
        return "; ".join([f"pair_style {self.pair_style}", *self.pair_coeff])

    @property
    def numbers(self) -> tuple[int, ...]:
        """Atomic numbers of the elements."""
        return tuple(atomic_numbers[element] for element in self.elements)

    @property
    def styles(self) -> tuple[str, ...]:
        """Names of the pair styles; those that a hybrid style combines follow it."""
        first = self.pair_style.split()[0]
        if not first.startswith("hybrid"):
            return (first,)
        named = [line.split()[2] for line in self.pair_coeff if len(line.split()) > 2]
        return (first, *dict.fromkeys(named))

    @property
    def num_cutoffs(self) -> int:
        """Number of cutoffs up to which an atom may change the energy of another.

        It is one where the energy of an atom depends on its own neighbours alone. Potentials with
        angles give half of the energy of a bond to each of its atoms, and neighbours of one change
        the share of the other: two. No style of LAMMPS was found that needs more.
        """
        own = [style for style in self.styles if not style.startswith("hybrid")]
        return 1 if all(map(is_local, own)) else 2

    @property
    def remedy(self) -> str:
        """What to do if LAMMPS cannot be started."""
        return (
            f"{install_command('local')}, or load the modules of the site's MPI and LAMMPS; gcd-hpc"
            " doctor tells what is missing"
        )

    def check(self, introduction: Mapping[str, Any]) -> None:
        """Every process with LAMMPS runs this potential."""

    def words(self) -> dict[str, Any]:
        """Commands, and the atomic numbers and masses of the atom types, for the LAMMPS process."""
        return {
            "potential": {
                "pair_style": self.pair_style,
                "pair_coeff": self.pair_coeff,
                "commands": self.commands,
            },
            "accelerator": self.accelerator,
            "numbers": self.numbers,
            "masses": [float(atomic_masses[number]) for number in self.numbers],
        }

    def shortened(self) -> "Potential | None":
        """This potential without a long tail of negligible interactions; None if it has none.

        Some tables go on far beyond the distance at which atoms stop to interact: that of W_zhou
        ends at 7.9 Å, but two atoms 6.1 Å apart change their energies by less than 1e-8 eV. Each
        evaluation takes time for all pairs within the cutoff.

        Raises:
            PotentialError: if the file cannot be read.
        """
        if base_style(self.pair_style) != "eam/alloy" or len(self.files) != 1:
            return None
        ((name, path),) = self.files.items()
        content = shortened(_read(path))
        if content is None:
            return None
        sha256 = hashlib.sha256(content).hexdigest()
        return replace(self, files={}, made={name: content}, sha256=sha256)


def find_potential(
    config: PotentialConfig, elements: str | Sequence[str], folder: Path
) -> Potential:
    """Resolve the potential of a campaign for atoms of one element or of several.

    Every word of pair_style and pair_coeff that names a file is searched in ``folder`` (the
    campaign file's), then in LAMMPS_POTENTIALS, then among the potentials shipped with LAMMPS.

    Raises:
        MissingPotentialError: if a file is in none of these folders.
        PotentialError: if a file cannot be read, or if the potential is of other elements.
    """
    places = [folder, *shipped_potentials()]

    def find(word: str) -> Path | None:
        found = (place / word for place in places if os.path.isfile(place / word))
        return next((path.resolve() for path in found), None)

    return _resolve(config, elements, find, places)


def copied_potential(
    config: PotentialConfig, elements: str | Sequence[str], folder: Path
) -> Potential:
    """The potential from copies of its files in ``folder``, named as in ``Potential.files``.

    No other file is read.

    Raises:
        PotentialError: as ``find_potential``.
    """

    def find(word: str) -> Path | None:
        path = folder / kept_name(word)
        return path if path.is_file() else None

    return _resolve(config, elements, find, [folder])


def is_local(style: str) -> bool:
    """Whether the energy of an atom depends on the atoms within one cutoff only."""
    return is_embedded_atom(style) or base_style(style) in LOCAL_STYLES


def _resolve(
    config: PotentialConfig, given: str | Sequence[str], find: Find, places: Sequence[Path]
) -> Potential:
    elements = (given,) if isinstance(given, str) else tuple(given)
    for element in elements:
        if element not in chemical_symbols[1:]:
            raise PotentialError(
                f"boundary.element must be the symbol of a chemical element, got {element!r}"
            )
    style = _with_paths(_words(config.pair_style), config)
    lines = [_with_paths(words, config) for line in config.coefficients if (words := _words(line))]
    if not style or not lines:
        raise PotentialError("pair_style and pair_coeff must not be empty")
    # Find and read every file that the words name.
    files: dict[str, Path] = {}
    contents: dict[str, bytes] = {}
    missing: list[str] = []
    paths = set(config.paths.values())
    for word in dict.fromkeys(_candidates(style, lines, paths)):
        path = find(word)
        if path is not None:
            files[word], contents[word] = path, _read(path)
        elif word in paths or (_FILE_NAME.fullmatch(word) and style[0] != "python"):
            missing.append(word)
    check_elements(elements, style, lines, contents)
    if missing:
        raise MissingPotentialError(missing[0], ", ".join(map(str, places)))
    # LAMMPS gets the same commands with short names for the files.
    names = {word: kept_name(word) for word in files}
    more = [] if config.accelerator == "none" else [f"accelerator {config.accelerator}"]
    return Potential(
        _joined(style, names),
        tuple(_joined(line, names) for line in lines),
        tuple(_joined(_words(command), {}) for command in config.commands),
        {names[word]: path for word, path in files.items()},
        elements,
        _identity([style, *lines], (*config.commands, *more), " ".join(elements), contents),
        config.accelerator,
    )


def _words(line: str) -> list[str]:
    """Words of a command as LAMMPS splits them: at blanks outside quotes, up to a #."""
    lexer = shlex.shlex(line, posix=True)
    lexer.whitespace_split, lexer.escape = True, ""
    try:
        return list(lexer)
    except ValueError:
        raise PotentialError(f"a quotation mark has no partner in {line!r}") from None


def _with_paths(words: list[str], config: PotentialConfig) -> list[str]:
    """Words of a command with paths where names in braces stand for them."""
    paths = config.paths
    return [re.sub(r"\{(\w+)\}", lambda name: paths[name[1]], word) for word in words]


def _candidates(style: list[str], lines: list[list[str]], paths: set[str]) -> list[str]:
    """Words that name a file if such a file exists.

    A word that is an element, a style or a number does not name a file, unless it is one of the
    ``paths`` that the campaign gives.
    """
    words = [word for word in style[1:] if "." in word or word in paths]
    words += [word for line in lines for word in line[2:] if word in paths or word not in style]
    return [
        word
        for word in words
        if word in paths
        or (word not in (*chemical_symbols, "NULL") and not _NUMBER.fullmatch(word))
    ]


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PotentialError(f"potential file {path} cannot be read: {error.strerror}") from error
    if content.startswith(GZIP):
        raise PotentialError(f"potential file {path} is compressed; unpack it with gunzip")
    return content


def kept_name(word: str) -> str:
    """ASCII name without blanks and folders, unique to one word of the campaign file."""
    name = re.sub(r"[^A-Za-z0-9._+-]", "_", PurePath(word).name)
    return name if name == word else f"{hashlib.sha256(word.encode()).hexdigest()[:8]}-{name}"


def _joined(words: Sequence[str], names: Mapping[str, str]) -> str:
    """Arguments of a command with files under their new names."""
    replaced = [names.get(word, word) for word in words]
    return " ".join(f'"{word}"' if re.search(r"\s", word) else word for word in replaced)


def _identity(
    lines: Sequence[list[str]],
    commands: Sequence[str],
    element: str,
    contents: Mapping[str, bytes],
) -> str:
    """SHA-256 of the commands with file names replaced by contents.

    The first file is {file} and its content follows at the end; the others are the hashes of their
    contents.
    """
    names: dict[str, str] = {}
    first = next(iter(contents.values()), b"")
    for word, content in contents.items():
        names[word] = "{file}" if content == first else hashlib.sha256(content).hexdigest()
    texts = [*(_joined(line, names) for line in lines), element, *commands]
    text = "".join(f"{text}\n" for text in texts)
    return hashlib.sha256(text.encode() + first).hexdigest()
