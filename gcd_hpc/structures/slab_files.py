"""Crystals found in slab files, which name a boundary of any crystal.

A slab is periodic in the plane of its first two cell vectors and may end anywhere along the third.
Its lowest atom begins a lattice plane, which settles the modulus of [n] where planes have several
layers.
Its crystal is found by the translations that put its atoms onto others, and spglib finds the
symmetry of that crystal, with which both are averaged. The other slab must hold the same crystal.
"""

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from numpy.typing import NDArray

from gcd_hpc.config.boundary import DENOMINATOR, BoundaryConfig, SlabCrystal, SlabFiles
from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.loader import load_campaign
from gcd_hpc.config.starting import with_model
from gcd_hpc.errors import ConfigError, StructureError, reason_of
from gcd_hpc.structures.crystal import as_millers
from gcd_hpc.structures.grain import Edges
from gcd_hpc.structures.periodic import Neighbors, wrap
from gcd_hpc.structures.text_formats import parse, recognized

Array = NDArray[np.float64]

MIN_HEIGHT = 8.0
"""Least height of a slab in which a crystal can be told from other orders, Å."""
REACH = 15.0
"""Longest translation that is looked for, Å."""
SAME_CRYSTAL = 2e-3
"""Largest relative difference of the lengths of both slabs' crystals."""


@dataclass(frozen=True)
class _Lattice:
    """A crystal as it lies in a slab: primitive vectors as rows (3, 3) Å, atoms of the basis as
    fractions (M, 3) of them, the first at the origin, and their atomic numbers (M,).
    """

    vectors: Array
    basis: Array
    numbers: NDArray[np.int64]


def read_campaign(path: Path, overrides: Sequence[str] = ()) -> CampaignConfig:
    """The campaign of a file, as ``load_campaign`` reads it, with the crystal of its slab files and
    the network of the model that it starts from.

    Raises:
        ConfigError: as ``load_campaign`` and ``with_files``.
    """
    return with_files(load_campaign(path, overrides), path.parent, str(path))


def with_files(config: CampaignConfig, folder: Path, source: str) -> CampaignConfig:
    """The campaign with what its slab files and the model that it starts from say of it.

    Args:
        folder: where relative paths begin.
        source: name of the campaign in errors.

    Raises:
        ConfigError: as ``with_slabs`` and ``with_model``.
    """
    return with_model(with_slabs(config, folder, source), folder, source)


def with_slabs(config: CampaignConfig, folder: Path, source: str) -> CampaignConfig:
    """The campaign with the crystal of its slab files, or as it is where it names none.

    Args:
        folder: where relative paths begin.
        source: name of the campaign in errors.

    Raises:
        ConfigError: if a file cannot be read, holds no crystal, or does not fit the other one.
    """
    slabs = config.boundary.slabs
    if slabs is None or slabs.crystal is not None:
        return config
    paths = {"lower": folder / slabs.lower, "upper": folder / slabs.upper}
    files: dict[str, tuple[Atoms, bytes]] = {}
    for side, path in paths.items():
        try:
            files[side] = _read(path, config.boundary.symbols)
            _check(files[side][0], config.boundary)
        except StructureError as error:
            raise ConfigError(source, f"boundary.slabs.{side}", f"{path}: {error}") from None
    try:
        crystal = _crystal(slabs, config.boundary.symbols, files, paths)
    except StructureError as error:
        raise ConfigError(source, "boundary.slabs", str(error)) from None
    named = slabs.model_copy(update={"crystal": crystal})
    return config.model_copy(
        update={"boundary": config.boundary.model_copy(update={"slabs": named})}
    )


def _read(path: Path, symbols: tuple[str, ...]) -> tuple[Atoms, bytes]:
    """Atoms and content of a file.

    Our own parsers come first, because ASE's believe a file that declares more atoms than it holds.
    """
    # ASE's readers load slowly, and campaigns without slabs need none of them.
    from ase.io import read

    try:
        content = path.read_bytes()
        text = content.decode("utf-8", "replace").replace("\r\n", "\n")
        known = recognized(text)
        found: Any = read(path) if known is None else parse(text, known, symbols)[-1]
    except StructureError:
        raise
    except OSError as error:
        why = error.strerror.lower() if error.strerror else f"not a format of ASE ({error})"
        raise StructureError(f"cannot be read: {why}") from None
    except Exception as error:  # ASE's readers raise anything on a file of another format.
        why = reason_of(error)
        raise StructureError(f"cannot be read by ASE ({why}); give another format") from None
    if isinstance(found, list) or not isinstance(found, Atoms) or not len(found):
        raise StructureError("holds no atoms; give a file of one structure")
    atoms: Atoms = found
    return atoms, content


def _check(atoms: Atoms, boundary: BoundaryConfig) -> None:
    """Refuse a slab without an in-plane cell, or of other elements."""
    symbols, held = boundary.symbols, set(atoms.get_chemical_symbols())
    named = "boundary.element is" if boundary.elements is None else "boundary.elements are"
    if held - set(symbols):
        raise StructureError(
            f"holds {', '.join(sorted(held - set(symbols)))}, but {named} {', '.join(symbols)}"
        )
    if set(symbols) - held:
        raise StructureError(
            f"holds no {', '.join(sorted(set(symbols) - held))}, but {named} {', '.join(symbols)}"
        )
    cell = atoms.cell.array
    if abs(np.linalg.det(cell)) < 1e-6:
        raise StructureError("has no cell of three vectors; give one with the periods in its plane")
    if not np.isfinite(atoms.positions).all():
        raise StructureError("holds atoms without finite positions")


def _crystal(
    slabs: SlabFiles,
    symbols: tuple[str, ...],
    files: dict[str, tuple[Atoms, bytes]],
    paths: dict[str, Path],
) -> SlabCrystal:
    """The common crystal of both slabs, and the edges of their cells in it."""
    found, edges = {}, {}
    for side, (atoms, _) in files.items():
        upright = _upright(atoms)
        try:
            found[side] = _lattice(upright, slabs.symprec)
            edges[side] = _edges(upright.cell.array[:2], found[side].vectors, slabs.symprec)
        except StructureError as error:
            raise StructureError(f"{paths[side]}: {error}") from None
    lower, space_group = _symmetrised(found["lower"], slabs.symprec)
    fit = _same_crystal(found["upper"], lower, slabs.symprec)
    if fit is None:
        raise StructureError(
            f"{paths['lower']} and {paths['upper']} hold different crystals; both slabs must be cut"
            " from one"
        )
    turn, upper_origin = fit
    first, second = np.array(edges["upper"]) @ turn
    upper = as_millers(np.stack([first, second]))
    rows = np.linalg.cholesky(lower.vectors @ lower.vectors.T)
    (x1, x2, x3), (y1, y2, y3), (z1, z2, z3) = rows.tolist()
    return SlabCrystal(
        space_group=space_group,
        primitive=((x1, x2, x3), (y1, y2, y3), (z1, z2, z3)),
        basis=as_millers(np.rint(lower.basis * DENOMINATOR).astype(np.int64)),
        kinds=_kinds(lower.numbers, symbols),
        upper_origin=upper_origin,
        lower=edges["lower"],
        upper=(upper[0], upper[1]),
        sha256=(_sha256(files["lower"][1]), _sha256(files["upper"][1])),
    )


def _kinds(numbers: NDArray[np.int64], symbols: tuple[str, ...]) -> tuple[int, ...]:
    """Which of several elements some atoms are; nothing where there is one."""
    if len(symbols) == 1:
        return ()
    return tuple(symbols.index(chemical_symbols[number]) for number in numbers.tolist())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _upright(atoms: Atoms) -> Atoms:
    """The slab turned so that its first cell vector lies along x and the second in the xy plane,
    with the third one pointing up.
    """
    turned: Atoms = atoms.copy()
    fractions = atoms.get_scaled_positions(wrap=False)
    rows = atoms.cell.array.copy()
    if np.linalg.det(rows) < 0:
        raise StructureError(
            "has a left-handed cell; exchange its first two vectors, and x and y with them"
        )
    lower = np.linalg.cholesky(rows @ rows.T)
    turned.set_cell(lower)
    turned.set_positions(fractions @ lower)
    return turned


def _lattice(atoms: Atoms, symprec: float) -> _Lattice:
    """The crystal of an upright slab.

    Raises:
        StructureError: if it holds none.
    """
    cell = atoms.cell.array[:2, :2]
    positions, numbers = wrap(atoms.positions, cell), atoms.numbers
    height = float(np.ptp(positions[:, 2]))
    if height < MIN_HEIGHT:
        raise StructureError(
            f"is {height:.1f} Å thick, and at least {MIN_HEIGHT:g} Å are needed to find its"
            " crystal; repeat it along its third vector"
        )
    vectors = _shortest(_translations(positions, numbers, cell, height, symprec))
    if vectors is None:
        raise StructureError(
            "holds no crystal: no three translations put its atoms onto others within"
            f" {symprec:g} Å (boundary.slabs.symprec); give a slab cut from a perfect crystal"
        )
    # The basis: the lowest atoms that no lattice vector joins.
    inner = np.argsort(positions[:, 2], kind="stable")
    fractions = (positions[inner] - positions[inner[0]]) @ np.linalg.inv(vectors)
    chosen: list[int] = []
    for number, one in enumerate(fractions):
        gaps = one - fractions[chosen]
        gaps = (gaps - np.rint(gaps)) @ vectors
        if not len(chosen) or np.linalg.norm(gaps, axis=1).min() > 2 * symprec:
            chosen.append(number)
    basis = fractions[chosen] - np.floor(fractions[chosen] + 1e-9)
    return _Lattice(vectors, basis, numbers[inner[chosen]].astype(np.int64))


def _translations(
    positions: Array, numbers: NDArray[np.int64], cell: Array, height: float, symprec: float
) -> Array:
    """Vectors (K, 3) that put every atom onto one of its kind, as far as the slab reaches, Å."""
    middle = (positions[:, 2].min() + positions[:, 2].max()) / 2
    origin = positions[np.argmin(np.abs(positions[:, 2] - middle))]
    near = positions[np.abs(positions[:, 2] - origin[2]) < height / 3] - origin
    steps = np.array(list(product(range(-3, 4), repeat=2))) @ cell
    images = near[:, None] + np.column_stack([steps, np.zeros(len(steps))])
    vectors = images.reshape(-1, 3)
    lengths = np.linalg.norm(vectors, axis=1)
    vectors = vectors[(lengths > 0.5) & (lengths < REACH)]
    vectors = vectors[np.argsort(np.linalg.norm(vectors, axis=1).round(6), kind="stable")]
    search = Neighbors(positions, cell)
    low, high = positions[:, 2].min() - symprec, positions[:, 2].max() + symprec
    found = []
    for vector in vectors:
        moved = positions + vector
        inside = (moved[:, 2] > low) & (moved[:, 2] < high)
        distances, nearest = search.nearest(wrap(moved[inside], cell))
        if distances.max() < symprec and (numbers[nearest] == numbers[inside]).all():
            found.append(vector)
    return np.array(found).reshape(-1, 3)


def _shortest(vectors: Array) -> Array | None:
    """Three shortest vectors that do not lie in a plane, right-handed; None if there are none."""
    chosen: list[Array] = []
    for vector in vectors:
        if len(chosen) == 3:
            break
        trial = np.array([*chosen, vector])
        # The volume that the vectors span, of a length, an area or a box.
        volume = np.sqrt(abs(np.linalg.det(trial @ trial.T)))
        if volume > 1e-2 * np.prod(np.linalg.norm(trial, axis=1)):
            chosen.append(vector)
    if len(chosen) < 3:
        return None
    rows = np.array(chosen)
    return rows if np.linalg.det(rows) > 0 else -rows


def _edges(cell: Array, vectors: Array, symprec: float) -> Edges:
    """Edges of a slab's cell in units of the crystal's primitive vectors."""
    exact = cell @ np.linalg.inv(vectors)
    whole = np.rint(exact)
    if np.abs((exact - whole) @ vectors).max() > 10 * symprec:
        raise StructureError("has in-plane cell vectors that are no translations of its crystal")
    first, second = as_millers(whole.astype(np.int64))
    return first, second


def _symmetrised(lattice: _Lattice, symprec: float) -> tuple[_Lattice, str]:
    """The crystal averaged over its symmetry, and the symbol of its space group."""
    # Only slab files need it.
    import spglib

    cell = (lattice.vectors.tolist(), lattice.basis.tolist(), lattice.numbers.tolist())
    with warnings.catch_warnings():
        # spglib warns that it returns nothing, instead of raising, where it finds no symmetry.
        warnings.simplefilter("ignore", DeprecationWarning)
        found = spglib.get_symmetry_dataset(cell, symprec=symprec)
    if found is None:
        raise StructureError("holds no crystal whose symmetry spglib can find")
    metric = lattice.vectors @ lattice.vectors.T
    # spglib's rotations act on columns of fractions.
    turns = [rotation.astype(float) for rotation in found.rotations]
    metric = np.mean([turn.T @ metric @ turn for turn in turns], axis=0)
    basis = np.zeros_like(lattice.basis)
    for turn, shift in zip(turns, found.translations, strict=True):
        moved = lattice.basis @ turn.T + shift
        gaps = moved[:, None] - lattice.basis
        gaps -= np.rint(gaps)
        target = np.linalg.norm(gaps @ lattice.vectors, axis=2).argmin(axis=1)
        basis[target] += lattice.basis[target] + gaps[np.arange(len(target)), target]
    basis /= len(turns)
    basis = basis - basis[0]
    rows = np.linalg.cholesky(metric)
    return _Lattice(rows, basis - np.floor(basis + 1e-6), lattice.numbers), str(found.international)


def _same_crystal(
    upper: _Lattice, lower: _Lattice, symprec: float
) -> tuple[NDArray[np.int64], int] | None:
    """The upper slab's primitive vectors in those of the lower slab's crystal, (3, 3), and the
    number of its first atom in the lower slab's basis; None if the crystals differ.
    """
    if len(upper.basis) != len(lower.basis):
        return None
    known, metric = (one.vectors @ one.vectors.T for one in (lower, upper))
    for entries in product((0, 1, -1), repeat=9):
        turn = np.array(entries).reshape(3, 3)
        if np.abs(turn @ known @ turn.T - metric).max() > SAME_CRYSTAL * known.max():
            continue
        origin = _same_basis(upper, lower, turn, symprec)
        if np.linalg.det(turn) > 0 and origin is not None:
            return turn, origin
    return None


def _same_basis(
    upper: _Lattice, lower: _Lattice, turn: NDArray[np.int64], symprec: float
) -> int | None:
    """Atom of the lower slab's basis to which the upper's first one is shifted so that the others
    fit; None if none does.
    """
    moved = upper.basis @ turn
    for number, shift in enumerate(lower.basis):
        gaps = (moved + shift)[:, None] - lower.basis
        gaps = (gaps - np.rint(gaps)) @ lower.vectors
        near = np.linalg.norm(gaps, axis=2) < 10 * symprec
        if (near & (upper.numbers[:, None] == lower.numbers)).any(axis=1).all():
            return number
    return None
