"""Sources of a merge: runs or files of one boundary and potential, with unique names."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import isfinite
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from gcd_hpc.config.boundary import BoundaryConfig
from gcd_hpc.config.campaign import RelaxationConfig
from gcd_hpc.config.section import Auto
from gcd_hpc.config.simulation import outer_layers
from gcd_hpc.errors import StoreError
from gcd_hpc.store.alike import identity_of
from gcd_hpc.store.candidate_file import reading
from gcd_hpc.store.checksums import Columns, check_seal
from gcd_hpc.store.crystal import boundary_of, neighbor_distance, unit_crystal
from gcd_hpc.store.hdf5 import OF_THE_FILE, checked_name
from gcd_hpc.store.index import RunStore
from gcd_hpc.store.parts import read_origin
from gcd_hpc.store.potentials import references
from gcd_hpc.store.provenance import section_of
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.verify import depth_beside


@dataclass
class Source:
    """One run or file to be merged."""

    path: Path
    parts: list[Path]
    config: str
    boundary: BoundaryConfig
    potential: dict[str, Any]
    """Section ``potential`` of the config."""
    potentials: list[str]
    """Distinct SHA-256 of the potentials of its candidates."""
    outer_thickness: float | Auto
    """relaxation.outer_thickness of the config."""
    attributes: dict[str, dict[str, Any]]
    """Attributes of each run in the file, by name; a file of a single run has the key ""."""
    names: dict[str, str] = field(default_factory=dict)
    """Names in the merged file, by the keys of ``attributes``."""

    def name_of(self, run: str) -> str:
        """Name that a run of this source has in the merged file.

        Raises:
            StoreError: if the source has no run of this name.
        """
        if run not in self.names:
            raise StoreError(
                f"{self.path}: a row is of a run that is not in it, {run!r}; leave it out"
            )
        return self.names[run]

    def origins(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Attributes of each run by its name in the merged file."""
        return ((self.names[run], attributes) for run, attributes in self.attributes.items())

    def nearest_neighbor(self, length_x: float) -> float:
        """Nearest-neighbour distance of the crystal in a box of length ``length_x`` (Å) in x, Å."""
        return neighbor_distance(self.config, length_x)

    def outer_layers(self, cutoff: float) -> float:
        """Thickness of the outer layers at the free surfaces, Å.

        Args:
            cutoff: of the potential, Å; NaN in files of versions that did not know auto.
        """
        return outer_layers(self.outer_thickness, cutoff if isfinite(cutoff) else None)

    def completed(self, columns: Columns) -> Columns:
        """Columns with ``surface_depth_a`` and ``atoms_per_plane`` filled in for old files.

        The depth comes from the surrounding run directory, N_plane from the boundary.
        """
        depths = [
            self._depths.get(potential, np.nan)
            for potential in columns["potential_sha256"].tolist()
        ]
        known, planes = columns["surface_depth_a"], columns["atoms_per_plane"]
        unit = unit_crystal(self.config)
        assert unit is not None
        return columns | {
            "surface_depth_a": np.where(np.isnan(known), np.array(depths, dtype=float), known),
            "atoms_per_plane": np.where(planes == 0, unit.atoms_per_plane, planes),
        }

    @property
    def _depths(self) -> dict[str, float]:
        return _depths_of(self.parts[0])


@lru_cache
def _depths_of(path: Path) -> dict[str, float]:
    return depth_beside(path)


def sources_of(paths: Sequence[Path]) -> list[Source]:
    """Sources of some paths; each run gets a unique name in the merged file.

    Raises:
        StoreError: if one has no candidates or no boundary, or if boundary or potential differ.
    """
    sources = [_source_of(path) for path in paths]
    taken: set[str] = set()
    for source in sources:
        for run in source.attributes:
            source.names[run] = _free_name(run or _stem(source.path), taken)
    for other in sources[1:]:
        _check_same(sources[0], other)
    return sources


def _source_of(path: Path) -> Source:
    parts = RunStore(path).part_paths()
    if not parts:
        raise StoreError(f"{path}: nothing to merge: there are no relaxed candidates; leave it out")
    origin = read_origin(parts[0])
    boundary = boundary_of(origin.get("config"))
    if boundary is None:
        raise StoreError(
            f"{parts[0]}: cannot be merged, because its attribute config holds no boundary; leave"
            " it out"
        )
    with reading(parts[0]) as file:
        merged = _runs_in(file.hdf5)
    outer = section_of(origin["config"], "relaxation").get(
        "outer_thickness", RelaxationConfig.model_fields["outer_thickness"].default
    )
    if not isinstance(outer, int | float) and outer != "auto":
        raise StoreError(
            f"{parts[0]}: cannot be merged, because relaxation.outer_thickness in its attribute"
            f" config is neither a length nor auto but {outer!r}; leave it out"
        )
    return Source(
        path,
        parts,
        origin["config"],
        boundary,
        section_of(origin["config"], "potential"),
        list(dict.fromkeys(one.potential_sha256 for one in references(parts))),
        outer,
        merged or {"": origin},
    )


def _runs_in(file: h5py.File) -> dict[str, dict[str, Any]]:
    """Attributes of each run in a merged file, by the run's name."""
    found = {}
    for name, group in file["runs"].items() if "runs" in file else ():
        check_seal(group)
        attributes = {key: value for key, value in group.attrs.items() if key not in OF_THE_FILE}
        found[checked_name(name, "runs")] = attributes
    return found


def _stem(path: Path) -> str:
    """Name of a run: that of its directory, or of its file unless that is ``results.h5``."""
    place = path.absolute()
    if place == RunDirectory(place.parent).results:
        name = place.parent.name
    else:
        name = place.stem if place.is_file() else place.name
    safe = "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in name)
    return safe[:100].lstrip("._-") or "run"


def _free_name(name: str, taken: set[str]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    taken.add(free)
    return free


def _check_same(first: Source, other: Source) -> None:
    """Raise StoreError if boundary or potential differ."""
    mine, theirs = (identity_of(one.boundary) for one in (first, other))
    _compare(first, other, "boundary", mine, theirs)
    for one in (first, other):
        if len(one.potentials) > 1:
            raise StoreError(
                f"{one.path}: cannot merge candidates of different potentials, got"
                f" {', '.join(one.potentials)}; their energies cannot be compared"
            )
    # Without stored hashes the LAMMPS commands of the potential must be equal.
    if first.potentials and other.potentials:
        _compare(first, other, "potential_sha256", first.potentials[0], other.potentials[0])
        return
    for key in ("pair_style", "pair_coeff", "commands"):
        _compare(
            first, other, f"potential.{key}", first.potential.get(key), other.potential.get(key)
        )


def _compare(first: Source, other: Source, key: str, mine: Any, theirs: Any) -> None:
    if isinstance(mine, dict) and isinstance(theirs, dict):
        for name in mine:
            _compare(first, other, f"{key}.{name}", mine[name], theirs.get(name))
    elif mine != theirs:
        _refuse(first, other, key, mine, theirs)


def _refuse(first: Source, other: Source, key: str, mine: Any, theirs: Any) -> None:
    raise StoreError(
        f"{other.path}: cannot be merged with {first.path}, because {key} is {theirs} instead of"
        f" {mine}; only runs of one boundary and potential can be merged, so leave one of them out"
    )
