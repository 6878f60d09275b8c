"""Structure files: LAMMPS dump and data, extended XYZ, POSCAR, CIF and ASE databases.

They are read and written through ASE. The format is recognised by the content, not by the name.
"""

import gzip
import re
import tempfile
import warnings
import zlib
from collections.abc import Iterator, Sequence
from io import BytesIO, StringIO
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from ase import Atoms

from gcd_hpc.errors import StructureError
from gcd_hpc.files import GZIP
from gcd_hpc.structures.periodic import edges_and_tilt, with_tilt, wrap
from gcd_hpc.structures.text_formats import FORMAT_NAMES, parse, recognized

FileFormat = Literal["extxyz", "lammps-data", "lammps-dump", "poscar", "cif"]
ATOM_ENERGY = "c_epot"
"""Column of a dump with the energy of each atom, eV, which OVITO reads as Potential Energy."""

MAX_BYTES = 2**28
"""Largest size of a structure file, unpacked: about two million atoms of text."""
_MAX_LENGTH = 1e5
"""Largest coordinate or cell edge in a structure file, Å."""
_FREE = 4.0
"""Smallest gap in a cell periodic along z, Å. With less, the file may hold two boundaries."""
_DATABASE = b"SQLite format 3\0"


def read_structures(path: str | Path, elements: Sequence[str]) -> list[Atoms]:
    """Bicrystals of a file: boxes at the origin, periodic in the plane, normal along z.

    The first edge of the box lies along x, the second may lean.

    A slab that wraps around the end of its cell is put together again, if the cell has a gap.
    Dumps keep their per-atom columns as arrays. Constraints are dropped. ``info["id"]`` names a
    structure where the file does. Files may be packed by gzip.

    Args:
        elements: chemical symbols of the campaign. LAMMPS types without a stated element are of
            them, in this order; all types are of a single one.

    Raises:
        StructureError: if the file is missing, damaged, in another format, of another element, or
            holds a structure that is no such bicrystal.
    """
    path = Path(path)
    content = _content(path)
    try:
        images = list(_images(content, elements))
        for atoms in images:
            _check(atoms, elements)
        return [_as_slab(atoms) for atoms in images]
    except StructureError as error:
        raise StructureError(f"{path}: {error}") from error


def read_frames(path: str | Path) -> list[Atoms]:
    """All structures of a file in any format that ASE reads, in any cell, as they stand there.

    Raises:
        StructureError: if the file is missing, damaged, in an unknown format, or holds no atoms or
            positions that are not finite.
    """
    path = Path(path)
    content = _content(path)
    try:
        frames = list(_frames(path, content))
        if not frames:
            raise StructureError("holds no structure; name another file")
        for atoms in frames:
            _check_numbers(atoms)
    except StructureError as error:
        raise StructureError(f"{path}: {error}") from error
    return frames


def _frames(path: Path, content: bytes) -> Iterator[Atoms]:
    """Structures by our own parsers where they know the format, and by ASE's otherwise."""
    from ase.io import read  # late, as above

    text = content.decode("utf-8", "replace").replace("\r\n", "\n")
    if content.startswith(_DATABASE) or (b"\0" not in content and recognized(text)):
        yield from _images(content, ())
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ASE warns of data that atoms do not need
            yield from read(path, index=":")
    except Exception as error:  # what is no structure makes ASE's readers fail in any way
        raise StructureError(
            "cannot be read by ASE: the file is damaged or of an unknown format; write it again,"
            " for example as extended XYZ"
        ) from error


def write_structures(
    path: str | Path,
    structures: Sequence[Atoms],
    file_format: FileFormat,
    elements: Sequence[str] | None = None,
) -> None:
    """Write structures to a file; only extended XYZ holds more than one.

    POSCAR lists the atoms element by element. ``info["title"]`` becomes the title of the file, or
    the comment where the format has none: in CIF, and behind the units of a dump.

    Args:
        elements: chemical symbols in the order of LAMMPS types; that of the alphabet if not given.

    Raises:
        StructureError: if the format is unknown or cannot hold that many structures.
    """
    if file_format not in get_args(FileFormat):
        raise StructureError(
            f"{path}: there is no format {file_format}; choose one of"
            f" {', '.join(get_args(FileFormat))}"
        )
    if not structures or (len(structures) > 1 and file_format != "extxyz"):
        raise StructureError(
            f"{path}: a {file_format} file cannot hold {len(structures)} structures; write one a"
            " file, or extxyz"
        )
    from ase.io import write  # takes 0.4 s, and every relaxation imports this module

    atoms = structures[0]
    order = list(elements or sorted(set(atoms.symbols)))
    title, text = str(atoms.info.get("title", "")), StringIO()
    match file_format:
        case "extxyz":
            write(path, list(structures), format="extxyz")
            return
        case "lammps-data":
            write(
                text,
                atoms,
                format="lammps-data",
                atom_style="atomic",
                masses=True,
                specorder=order,
            )
        case "lammps-dump":
            _refuse_inclined(path, atoms)
            text.write(_dump(atoms, order))
        case "poscar":
            write(text, _grouped(atoms, order), format="vasp", direct=False)
        case "cif":
            # ASE's writer of CIF encodes its text.
            packed = BytesIO()
            write(packed, atoms, format="cif", wrap=False)
            text.write(packed.getvalue().decode())
    content = text.getvalue()
    Path(path).write_text(titled(content, title, file_format), encoding="utf-8")


def titled(text: str, title: str, file_format: str) -> str:
    """A text of ASE or a dump with a title of one line; as it is if the title is empty."""
    if not title:
        return text
    first, rest = text.split("\n", 1)
    match file_format:
        case "cif":
            block = re.sub(r"[^\w.-]", "_", title.split(":")[0])
            return f"# {title}\ndata_{block}\n{rest}"
        case "lammps-dump":
            # LAMMPS, OVITO and ASE read the first word of this line at most.
            units, rest = rest.split("\n", 1)
            return f"{first}\n{units} # {title}\n{rest}"
    return f"{title}\n{rest}"


def _refuse_inclined(path: str | Path, atoms: Atoms) -> None:
    """Refuse a box that our dumps cannot state."""
    try:
        edges_and_tilt(atoms.cell)
    except ValueError as error:
        raise StructureError(
            f"{path}: cannot be written as lammps-dump: {error}; write extxyz"
        ) from error


def _grouped(atoms: Atoms, order: list[str]) -> Atoms:
    """The atoms element by element."""
    grouped: Atoms = atoms[np.argsort(_types(atoms, order), kind="stable")]
    return grouped


def _types(atoms: Atoms, order: list[str]) -> list[int]:
    """LAMMPS types (N,) of atoms, counted from one."""
    return [order.index(symbol) + 1 for symbol in atoms.symbols]


def _dump(atoms: Atoms, order: list[str]) -> str:
    """LAMMPS dump in metal units, with per-atom energies if known; ASE writes no dumps."""
    (x, y, z), tilt = edges_and_tilt(atoms.cell)
    columns = ["id", "type", "element", "x", "y", "z"]
    values = [
        range(1, len(atoms) + 1),
        _types(atoms, order),
        list(atoms.symbols),
        *atoms.positions.T.tolist(),
    ]
    if atoms.calc is not None:
        columns.append(ATOM_ENERGY)
        values.append(atoms.get_potential_energies().tolist())
    ends = " ".join("pp" if periodic else "ff" for periodic in atoms.pbc)
    lines = [
        *("ITEM: UNITS", "metal", "ITEM: TIMESTEP", "0", "ITEM: NUMBER OF ATOMS", str(len(atoms))),
        *(
            *_dump_bounds((float(x), float(y), float(z)), tilt, ends),
            f"ITEM: ATOMS {' '.join(columns)}",
        ),
        *(" ".join(map(str, row)) for row in zip(*values, strict=True)),
    ]
    return "\n".join(lines) + "\n"


def _dump_bounds(edges: tuple[float, float, float], tilt: float, ends: str) -> list[str]:
    """Lines of the box: its bounds, which enclose a box that leans, and its tilts."""
    x, y, z = edges
    if not tilt:
        return [f"ITEM: BOX BOUNDS {ends}", f"0.0 {x!r}", f"0.0 {y!r}", f"0.0 {z!r}"]
    low, high = min(0.0, tilt), x + max(0.0, tilt)
    title = f"ITEM: BOX BOUNDS xy xz yz {ends}"
    return [title, f"{low!r} {high!r} {tilt!r}", f"0.0 {y!r} 0.0", f"0.0 {z!r} 0.0"]


def _content(path: Path) -> bytes:
    """Content of a file, unpacked if it is a gzip file."""
    try:
        with path.open("rb") as stream:
            packed = stream.peek(2)[:2] == GZIP if path.is_file() else False
            with gzip.open(stream) if packed else stream as source:
                content = source.read(MAX_BYTES + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise StructureError(f"{path}: cannot be read: the gzip file is damaged") from None
    except OSError as error:
        raise StructureError(f"{path}: cannot be read: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise StructureError(
            f"{path}: is too large to be read, more than {MAX_BYTES >> 20} MiB; split the file"
        )
    return content


def _images(content: bytes, elements: Sequence[str]) -> Iterator[Atoms]:
    if content.startswith(_DATABASE):
        yield from _database(content)
        return
    if b"\0" in content:
        raise StructureError(
            "cannot be read: it holds binary data; write it as text, for example as extended XYZ"
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")  # titles with the encoding of old editors
    text = text.replace("\r\n", "\n")
    file_format = recognized(text)
    if file_format is None:
        raise StructureError(
            "cannot be read: its format is not known; write it as LAMMPS dump, LAMMPS data,"
            " extended XYZ, POSCAR, CIF or ASE database, with a cell"
        )
    images = parse(text, file_format, elements)
    if not images:
        raise StructureError(f"this {FORMAT_NAMES[file_format]} holds no structure; name another")
    yield from images


def _database(content: bytes) -> Iterator[Atoms]:
    """Structures of an ASE database, read from a copy because ASE may write to what it opens."""
    from ase.db import connect  # takes 0.5 s, needed for databases only

    with tempfile.TemporaryDirectory(prefix="gcd-hpc-") as folder:
        copy = Path(folder, "structures.db")
        copy.write_bytes(content)
        try:
            with connect(copy, type="db", serial=True) as database:
                for row in database.select():
                    atoms = row.toatoms()
                    atoms.info = {"id": row.get("candidate", f"row {row.id}")}
                    yield atoms
        except Exception as error:  # a damaged database makes ASE and SQLite fail in any way
            raise StructureError(
                "cannot be read as ASE database: the file is damaged or of another kind; write it"
                " again, for example as extended XYZ"
            ) from error


def _check(atoms: Atoms, elements: Sequence[str]) -> None:
    """Refuse other elements, and positions or cells that are not finite."""
    symbols, own = set(atoms.symbols), " and ".join(elements)
    if not symbols <= set(elements):
        raise StructureError(
            f"holds atoms of {', '.join(sorted(symbols))}, but the boundary is of {own}; name a"
            f" structure of {own} or the campaign of its elements"
        )
    _check_numbers(atoms)


def _check_numbers(atoms: Atoms) -> None:
    """Refuse a structure without atoms, and positions or cells that are not finite or too large."""
    if not len(atoms):
        raise StructureError("holds no atoms; name a file with some")
    lengths = np.concatenate([atoms.positions, np.asarray(atoms.cell)])
    if not (np.abs(lengths) < _MAX_LENGTH).all():
        raise StructureError(
            f"a position or cell edge is {lengths[~(np.abs(lengths) < _MAX_LENGTH)][0]:g} Å, which"
            f" must be less than {_MAX_LENGTH:g}; mend the file"
        )


def _as_slab(atoms: Atoms) -> Atoms:
    """The atoms in a box with its corner at the origin, open along z, without constraints."""
    cell = np.where(np.abs(atoms.cell) > 1e-6, atoms.cell, 0.0)
    edges = np.diag(cell)
    if np.abs(with_tilt(edges, cell[1, 0]) - cell).max() > 0 or edges[:2].min() <= 0:
        raise StructureError(
            f"the cell {cell.round(4).tolist()} is no box with its first edge along x, its second"
            " in the xy plane and its third along z; write the slab in such a box"
        )
    if not atoms.pbc[:2].all():
        flags = " ".join("periodic" if flag else "open" for flag in atoms.pbc)
        raise StructureError(
            f"the axes are {flags}, but a boundary normal to z is periodic along x and y; turn the"
            " structure or mend its flags"
        )
    # Close the slab up if it wraps around z; else enlarge an open box that does not hold it.
    heights, height = atoms.positions[:, 2].copy(), edges[2]
    if height > 0 and (atoms.pbc[2] or _is_cut_in_two(heights, height)):
        heights = _closed_up(heights, height)
    elif heights.min() < 0 or heights.max() > height:  # an open box need not hold its atoms
        height = max(height, np.ptp(heights) + _FREE)
        heights += (height - np.ptp(heights)) / 2 - heights.min()
    atoms.set_constraint()
    atoms.positions[:, 2] = heights
    atoms.set_cell(with_tilt([edges[0], edges[1], height], cell[1, 0]))
    atoms.set_celldisp(np.zeros(3))
    atoms.set_pbc((True, True, False))
    return atoms


def _is_cut_in_two(heights: np.ndarray, height: float) -> bool:
    """Whether a gap splits a slab. LAMMPS data and old dumps do not say whether z is periodic."""
    inside = heights.min() >= 0 and heights.max() <= height
    return bool(inside and np.diff(np.sort(heights), prepend=heights.min()).max() >= _FREE)


def _closed_up(heights: np.ndarray, period: float) -> np.ndarray:
    """Heights of a slab in a cell periodic along z, moved so that the gap is at the cell's ends."""
    order = np.sort(_folded(heights, period))
    gaps = np.diff(order, append=order[0] + period)
    widest = int(np.argmax(gaps))
    if gaps[widest] < _FREE:
        raise StructureError(
            f"periodic along z with at most {gaps[widest]:.2f} Å between layers, so that it may"
            f" hold two boundaries; cut out a slab with {_FREE:g} Å of free space"
        )
    if widest == len(order) - 1:
        return _folded(heights, period)
    first = order[widest + 1]  # lowest atom above the empty part
    return np.asarray(_folded(heights - first + 1e-9, period) + gaps[widest] / 2)


def _folded(heights: np.ndarray, period: float) -> np.ndarray:
    return wrap(heights[:, None], [period])[:, 0]
