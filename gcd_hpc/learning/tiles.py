"""Structures of smaller in-plane cells, repeated to the campaign's cell, as starts of its search.

The lowest structures of a small cell are low in a larger one too, and cost little to find. They are
taken from finished runs once, when a campaign is prepared, and kept in its run directory.
"""

import functools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from gcd_hpc.config.loader import parse_campaign
from gcd_hpc.errors import ConfigError, StructureError
from gcd_hpc.learning.boundary import BoundarySystem
from gcd_hpc.learning.candidates import boundary_fingerprint, new_candidate, with_structure
from gcd_hpc.search.moves import tile
from gcd_hpc.search.windows import Parent, recentred
from gcd_hpc.store.alloys import excess_energies
from gcd_hpc.store.parts import read_part, write_part
from gcd_hpc.store.provenance import campaign_provenance
from gcd_hpc.store.run import Run, open_run
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.schema import Candidate, candidate_id
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.fingerprint import first_unique
from gcd_hpc.structures.periodic import spelled_cell

TILE = "tile"
"""Label of these tries in the field ``move``."""
KEY = "search.tiles_of"


def keep_tiles(system: BoundarySystem, run: RunDirectory, folder: Path) -> None:
    """Write the tiles of the runs that the campaign names into its run directory, once.

    Args:
        folder: of the campaign file, in which the runs are looked for first.

    Raises:
        ConfigError: if a run is missing, is of another boundary, potential or no smaller cell, or
            if the tiles are more than the tries of the search.
    """
    search = system.config.search
    if not search.tiles_of or run.tiles.exists():
        return
    tiles = [row for given in search.tiles_of for row in _tiles_of(system, given, folder)]
    if len(tiles) > search.num_tries:
        raise ConfigError(
            system.config.name,
            "search.num_tries",
            f"must be at least the number of structures from {KEY}, {len(tiles)}, got"
            f" {search.num_tries}; raise it or lower search.tiles_per_n",
        )
    numbered = [
        replace(row, id=candidate_id("search", 0, index), index=index)
        for index, row in enumerate(tiles)
    ]
    write_part(run.tiles, numbered, campaign_provenance(system.config))


def tiles_of(system: BoundarySystem, run_dir: Path) -> list[Candidate]:
    """Unrelaxed tries of a prepared run that are made of smaller cells, by their index."""
    return _kept(run_dir) if system.config.search.tiles_of else []


@functools.cache
def _kept(run_dir: Path) -> list[Candidate]:
    return read_part(RunDirectory(run_dir).tiles)


def _tiles_of(system: BoundarySystem, given: str, folder: Path) -> Iterator[Candidate]:
    """The lowest unique structures of each [n] of a run, repeated to the system's cell."""
    path = next((one for one in (folder / given, Path(given)) if one.exists()), None)
    if path is None:
        raise _refused(system, f"there is no run or file {given}")
    run = open_run(path).relaxed().select(f"potential_sha256={system.potential.sha256}")
    if not len(run):
        raise _refused(system, f"{path} holds no relaxed structure of this campaign's potential")
    config = parse_campaign(run.provenance["config"], str(path))
    small = BoundarySystem.of(config, system.potential, system.bulk)
    repeats = repeats_of(small.bicrystal, system.bicrystal)
    if repeats is None:
        raise _refused(
            system,
            f"{path} is of another boundary, or its cell does not fit into"
            f" {spelled_cell(system.bicrystal.cell)}",
        )
    for row in _lowest(small, run, system.config.search.tiles_per_n):
        try:
            parent = _placed(small, system, row, repeats)
        except StructureError:
            # The boundary of this structure has spread into the layers that must be perfect.
            continue
        empty = replace(new_candidate(system, "search", 0), move=TILE, parents=f"{given}:{row.id}")
        numbers = system.own_numbers(parent.species)
        yield with_structure(system, empty, parent.positions, parent.registry, numbers=numbers)


def _refused(system: BoundarySystem, problem: str) -> ConfigError:
    return ConfigError(
        system.config.name,
        KEY,
        f"{problem}; name runs of this boundary and potential in cells that repeat to this one",
    )


def repeats_of(small: Bicrystal, large: Bicrystal) -> tuple[int, int] | None:
    """Numbers of copies along x and y that make a large cell of a small one.

    None if the cell is no such multiple, or if the grains have other orientations.
    """
    same = (small.elements, small.lattice) == (large.elements, large.lattice) and all(
        small.grain(side).directions == large.grain(side).directions for side in ("lower", "upper")
    )
    copies = [
        divmod(of_large, of_small)
        for of_small, of_large in zip(small.lower.repeats, large.lower.repeats, strict=True)
    ]
    if not same or any(number == 0 or rest for number, rest in copies):
        return None
    return copies[0][0], copies[1][0]


def _lowest(small: BoundarySystem, run: Run, num: int) -> Iterator[Candidate]:
    """The ``num`` lowest unique structures of each [n], by [n] and energy."""
    for n_index in np.unique(run.columns(["n_index"])["n_index"]):
        yield from first_unique(
            run.select(f"n_index={n_index}"),
            energy_j_m2=lambda row: row.gb_energy_j_m2,
            fingerprint=lambda row: boundary_fingerprint(small, row),
            num=num,
        )


def _placed(
    small: BoundarySystem, large: BoundarySystem, row: Candidate, repeats: tuple[int, int]
) -> Parent:
    """A relaxed structure, repeated and brought into the frame of the large cell.

    Raises:
        StructureError: as ``recentred``.
    """
    # The lowest plane of the lower grain lies at the bottom of either frame. A registry counts from
    # the plane of the upper grain that its own frame begins with.
    rise = np.array([0.0, 0.0, large.frame.bottom - small.frame.bottom])
    planes = np.array([0.0, 0.0, small.frame.upper_plane - large.frame.upper_plane])
    parent = Parent(
        row.positions + rise,
        excess_energies(vars(row)),
        large.frame.reduced(np.asarray(row.registry_relaxed) + rise + planes),
        small.own_numbers(row.numbers),
    )
    return recentred(tile(parent, small.bicrystal.cell, repeats), large.frame)
