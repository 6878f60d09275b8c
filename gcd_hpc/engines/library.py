"""Potentials that LAMMPS ships for an element, with the commands that each of them needs."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ase.data import atomic_numbers, chemical_symbols

from gcd_hpc.config.simulation import PotentialConfig
from gcd_hpc.engines.formats import elements_in, library_elements, library_lattices
from gcd_hpc.engines.installed import has_pair_style, shipped_potentials
from gcd_hpc.engines.setfl import HEAD_BYTES, LATTICES, read_head
from gcd_hpc.errors import PotentialError

STYLES = {
    ".eam.alloy": "eam/alloy",
    ".eam.fs": "eam/fs",
    ".adp": "adp",
    ".eam": "eam",
    ".sw": "sw",
    ".tersoff": "tersoff",
    ".edip": "edip",
    ".eam.he": "eam/he",
    ".tersoff.mod": "tersoff/mod",
    ".tersoff.modc": "tersoff/mod/c",
    ".tersoff.zbl": "tersoff/zbl",
    ".meam.spline": "meam/spline",
    ".meam.sw.spline": "meam/sw/spline",
    ".bop.table": "bop",
    ".poly": "polymorphic",
    ".uf3": "uf3",
    ".ace": "pace",
    ".yace": "pace",
    ".rann": "rann",
    ".vashishta": "vashishta",
    ".extep": "extep",
    ".gw": "gw",
    ".lcbop": "lcbop",
    ".rebo": "rebo",
    ".airebo": "airebo",
    "ffield.eim": "eim",
}
"""Pair style of potentials that are one file, by the ending of its name; the first are preferred.
"""
PREFERRED = ("eam/alloy", "eam/fs", "adp", "eam", "sw", "tersoff", "edip")
"""Pair styles that are offered before all others, for they are fast and well tried."""
SCRIPTS = (".snap", ".mliap")
"""Endings of LAMMPS scripts with the commands of a potential of several files."""
ROLES = {
    ".snapcoeff": "coefficients",
    ".snapparam": "parameters",
    ".model": "model",
    ".descriptor": "descriptor",
}
"""Names of the files of a script in the potential section, by their endings."""


class Pair(NamedTuple):
    """Pair style of two files: what the first is, and the ending of the second and what it is."""

    style: str
    role: str
    ending: str
    other_role: str


PAIRS = {
    ".snapcoeff": Pair("snap", "coefficients", ".snapparam", "parameters"),
    "_param.pod": Pair("pod", "parameters", "_coeff.pod", "coefficients"),
}
"""Potentials of two files without a script, by the ending of the first."""
MEAM = {
    "AlSiMgCuFe.meam": ("library.meam", ("AlS", "SiS", "MgS", "CuS", "FeS")),
    "Bi.meam": ("library.meam", ("Bi",)),
    "Cu.meam": ("library.meam", ("Cu",)),
    "HGa.msmeam": ("library.msmeam", ("H", "Ga4")),
    "MoCoNiVFeAlCr_2nn.meam": ("library_2nn.meam", ("Mo", "Co", "Ni", "V", "Fe", "Al", "Cr")),
    "Ni.meam": ("library.meam", ("Ni",)),
    "SiC.meam": ("library.meam", ("Si", "C")),
    "WL.meam": ("library.meam", ("WL",)),
}
"""Library of each parameter file of MEAM, and the labels that its numbers stand for, which the file
itself does not say.
"""
MEAM_LIBRARY = "library.meam"
"""Library whose entries are potentials of their elements without a parameter file."""
READ_BYTES = 256 * 1024
_ENDS = (*STYLES, *SCRIPTS, *PAIRS, *MEAM, MEAM_LIBRARY)
"""Endings of the files that name a potential."""
NEEDS_ALL = ("meam/spline", "polymorphic")
"""Pair styles for which all elements of the file must be among the atoms."""


@dataclass(frozen=True)
class LibraryPotential:
    """A potential and what its files say of it.

    path: file that names the potential.
    pair_style: with {name} for each file.
    arguments: of pair_coeff between the types and the elements. {labels} are those of the elements.
    files: paths by these names.
    elements: those that the files hold.
    lattices: crystal of an element, where the files state it.
    citation: publication, as far as the first line names it.
    labels: words of pair_coeff for the elements, where they are not the symbols.
    has_core: whether a hybrid style adds the repulsion of Ziegler, Biersack and Littmark.
    """

    path: Path
    pair_style: str
    arguments: str
    files: Mapping[str, Path]
    elements: tuple[str, ...]
    lattices: Mapping[str, str]
    citation: str
    labels: Mapping[str, str] = field(default_factory=dict)
    has_core: bool = False

    @property
    def name(self) -> str:
        """Name of the pair style that the elements are mapped to."""
        words = self.pair_style.split()
        return self.arguments.split()[0] if words[0].startswith("hybrid") else words[0]

    def config(self, *elements: str) -> PotentialConfig:
        """The potential section of a campaign.

        Args:
            elements: of the atom types.

        Raises:
            PotentialError: if the potential lacks one of them.
        """
        check_holds(self, *elements)
        labels = " ".join(self.labels.get(element, element) for element in elements)
        last = "" if self.pair_style == "eam" else labels
        words = ["* *", self.arguments.replace("{labels}", labels), last]
        lines = [" ".join(filter(None, words))]
        if self.has_core:
            lines = [*_core(elements), *lines]
        is_shipped = self.path.parent in shipped_potentials()
        paths = {
            name: path.name if is_shipped else str(path.absolute())
            for name, path in self.files.items()
        }
        return PotentialConfig(
            pair_style=self.pair_style,
            pair_coeff=lines[0] if len(lines) == 1 else tuple(lines),
            file=paths.pop("file", None),
            files=paths,
        )


def check_holds(potential: LibraryPotential, *elements: str) -> None:
    """Refuse elements that a potential lacks, and a part of its elements where it needs all.

    Raises:
        PotentialError: which names the elements of the potential.
    """
    known, name = ", ".join(potential.elements), potential.path.name
    for element in elements:
        if element not in potential.elements:
            raise PotentialError(f"{name} holds {known}, not {element}; use a potential of it")
    if potential.name in NEEDS_ALL and len(elements) < len(potential.elements):
        raise PotentialError(
            f"{name} is for atoms of {known} together, because pair style {potential.name} needs an"
            f" atom type for each; use another potential for {', '.join(elements)} alone"
        )


def potentials_for(element: str, lattice: str) -> list[LibraryPotential]:
    """Shipped potentials of an element that the installed LAMMPS can use.

    Those of the preferred styles, for its crystal and for it alone come first.
    """
    styles = list(dict.fromkeys(STYLES.values()))
    known = [
        one
        for one in _library()
        if element in one.elements
        and (one.name not in NEEDS_ALL or len(one.elements) == 1)
        and has_pair_style(one.name) is not False
    ]
    return sorted(
        known,
        key=lambda one: (
            one.name not in PREFERRED,
            one.lattices.get(element) not in (None, lattice),
            len(one.elements),
            styles.index(one.name) if one.name in styles else len(styles),
            one.path.name,
        ),
    )


def read_potential(path: Path) -> LibraryPotential:
    """A potential by one of its files, whose name has one of the known endings.

    Raises:
        PotentialError: if its ending or its content is not known, or if it cannot be read.
    """
    name = path.name
    first = _text(path)[:HEAD_BYTES].partition("\n")[0]
    if re.search(r"UNITS: (?!metal)", first):
        raise PotentialError(f"{path}: is no potential in metal units")
    source = _citation(first)
    if name.endswith(SCRIPTS):
        return _of_script(path, source)
    if name in MEAM or name == MEAM_LIBRARY:
        return _of_meam(path, source)
    for end, pair in PAIRS.items():
        if name.endswith(end):
            other = path.with_name(name.removesuffix(end) + pair.ending)
            return _made(path, pair.style, {pair.role: path, pair.other_role: other}, source)
    # The longest ending is the file's.
    ends = sorted((end for end in STYLES if name.endswith(end)), key=len)
    if not ends:
        raise PotentialError(
            f"{path}: its pair style does not follow from its name, which should end in"
            f" {', '.join(_ENDS[: -len(MEAM) - 1])}; write the potential section yourself"
        )
    return _made(path, STYLES[ends[-1]], {"file": path}, source)


def citation_in(path: Path) -> str:
    """Publication that the first line of a potential file names; empty if it names none.

    Raises:
        PotentialError: if the file cannot be read.
    """
    return _citation(_text(path)[:HEAD_BYTES].partition("\n")[0])


def _citation(first_line: str) -> str:
    found = re.search(r"CITATION: *(.*?) *(?:COMMENT:|$)", first_line)
    return found[1] if found else ""


def _made(path: Path, style: str, files: dict[str, Path], citation: str) -> LibraryPotential:
    """Potential of a pair style whose elements follow its files in pair_coeff."""
    contents = [_content(file) for file in files.values()]
    elements = elements_in(style, contents)
    if elements is None and style in ("meam/spline", "meam/sw/spline"):
        # Files of one element do not name it.
        start = re.match(r"[A-Z][a-z]?(?=[._])", path.name)
        elements = (start[0],) if start and start[0] in chemical_symbols[1:] else None
    if elements is None:
        raise PotentialError(f"{path}: is no potential of pair style {style} in metal units")
    head = read_head(style, contents[0])
    lattices = {} if head is None else {elements[0]: head.lattice}
    arguments = " ".join(f"{{{name}}}" for name in files)
    text = {"eim": "{labels} {file}"}.get(style, arguments)
    return LibraryPotential(
        path, _with_numbers(style, contents[0]), text, files, elements, lattices, citation
    )


def _with_numbers(style: str, content: bytes) -> str:
    """Pair style with the numbers that it cannot do without."""
    if style == "uf3":
        return "uf3 3" if re.search(rb"^3B\s", content, re.MULTILINE) else "uf3 2"
    return "airebo 3.0" if style == "airebo" else style


def _of_meam(path: Path, citation: str) -> LibraryPotential:
    """Potential of a parameter file of MEAM, or of the entries of its library alone."""
    name, labels = MEAM.get(path.name, (path.name, ("{labels}",)))
    library = path.with_name(name)
    text = _text(library)
    known, lattices = library_elements(text), library_lattices(text)
    if path == library:
        by_element = {one: one for one in known if known[one] == one}
        files, arguments = {"library": path}, "{library} {labels} NULL"
    else:
        by_element = {known[label]: label for label in labels if label in known}
        files = {"library": library, "parameters": path}
        arguments = f"{{library}} {' '.join(labels)} {{parameters}}"
    return LibraryPotential(
        path,
        "meam/ms" if library.suffix == ".msmeam" else "meam",
        arguments,
        files,
        tuple(by_element),
        {one: LATTICES.get(lattices[label], "") for one, label in by_element.items()},
        citation,
        by_element,
    )


def _of_script(path: Path, citation: str) -> LibraryPotential:
    """Potential of a LAMMPS script with variables, pair_style and pair_coeff."""
    unknown = PotentialError(
        f"{path}: its commands are not understood; write the potential section yourself"
    )
    style, lines = _commands(path, unknown)
    mapped = [line for line in lines if line[:2] == ["*", "*"]]
    core = [line for line in lines if line[:2] != ["*", "*"]]
    if len(mapped) != 1 or any(line[2:3] != ["zbl"] for line in core):
        raise unknown
    words = mapped[0][2:]
    names = {one for one in [*style, *words] if (path.parent / one).is_file()}
    elements = [word for word in words if word in chemical_symbols[1:]]
    # Words that can only be files must be some whose part is known.
    named = {one for one in [*style, *words] if re.search(r"\.[A-Za-z]", one)}
    if "NULL" in words or not elements or named != names:
        raise unknown
    if any(Path(one).suffix not in ROLES for one in named):
        raise unknown
    roles = {one: ROLES[Path(one).suffix] for one in named}
    style = [f"{{{roles[word]}}}" if word in roles else word for word in style]
    words = [f"{{{roles[word]}}}" if word in roles else word for word in words]
    return LibraryPotential(
        path,
        " ".join(style),
        " ".join(words[: len(words) - len(elements)]),
        {role: path.with_name(one) for one, role in roles.items()},
        tuple(elements),
        {},
        citation,
        has_core=bool(core),
    )


def _commands(path: Path, unknown: PotentialError) -> tuple[list[str], list[list[str]]]:
    """Words of pair_style and of each pair_coeff of a script, with the values of its variables."""
    text = re.sub(r"&\s*\n", " ", _text(path))
    variables: dict[str, str] = {}
    style: list[str] = []
    lines: list[list[str]] = []
    for line in text.splitlines():
        plain = re.sub(r"\$\{(\w+)\}", lambda found: variables.get(found[1], ""), line)
        match plain.partition("#")[0].split():
            case []:
                pass
            case ["variable", name, "equal" | "index", value]:
                variables[name] = value
            case ["pair_style", *words]:
                style = words
            case ["pair_coeff", *words]:
                lines.append(words)
            case _:
                raise unknown
    return style, lines


def _core(elements: Sequence[str]) -> list[str]:
    """Arguments of pair_coeff for the repulsion between the nuclei of each pair of elements."""
    numbers = [atomic_numbers[element] for element in elements]
    return [
        f"{i + 1} {j + 1} zbl {first} {second}"
        for i, first in enumerate(numbers)
        for j, second in enumerate(numbers)
        if i <= j
    ]


def _text(path: Path) -> str:
    return _content(path).decode(errors="replace")


def _content(path: Path) -> bytes:
    """Beginning of a file, which holds the names of all elements."""
    try:
        with path.open("rb") as file:
            return file.read(READ_BYTES)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise PotentialError(f"potential file {path} cannot be read: {reason}") from error


def _library() -> Iterator[LibraryPotential]:
    for folder in shipped_potentials():
        for path in sorted(folder.glob("*")):
            # Coefficients beside a script are a part of its potential.
            is_part = path.name.endswith(".snapcoeff") and path.with_suffix(".snap").is_file()
            if is_part or not path.name.endswith(_ENDS):
                continue
            try:
                yield read_potential(path)
            except PotentialError:
                # A file of another unit or format: the campaign could not use it.
                continue
