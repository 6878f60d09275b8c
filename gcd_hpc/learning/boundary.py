"""The system that every stage works on: config, potential, bulk crystal and slabs."""

import functools
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.guidance import find_image, image_of
from gcd_hpc.config.loader import load_campaign
from gcd_hpc.config.simulation import outer_layers
from gcd_hpc.engines.bulk import Bulk, measure_bulk, read_prepared
from gcd_hpc.engines.engine import Engine
from gcd_hpc.engines.resolve import find_engine
from gcd_hpc.engines.slab_bulk import measure_crystal
from gcd_hpc.engines.strained import measured_layout
from gcd_hpc.files import replacing
from gcd_hpc.learning.context import seen_layers
from gcd_hpc.learning.image_place import PlacedImage, place_image
from gcd_hpc.learning.kept_potential import has_structures_of, keep_potential
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.schema import Candidate
from gcd_hpc.structures.bicrystal import Bicrystal, check_name
from gcd_hpc.structures.frame import Frame
from gcd_hpc.voxels.channels import Channels
from gcd_hpc.voxels.grid import Grid


@dataclass(frozen=True)
class BoundarySystem:
    """One boundary with its potential, ready to be simulated."""

    config: CampaignConfig
    potential: Engine
    bulk: Bulk
    bicrystal: Bicrystal
    frame: Frame
    grid: Grid
    """Voxel grid of the frame's box: periodic in the plane, open along z."""
    num_known: int
    """Voxel layers at each end that hold perfect grain and stay fixed during in-painting."""
    warnings: tuple[str, ...] = ()
    """Allowed but probably unintended settings, such as voxels that are too coarse."""

    @property
    def channels(self) -> Channels:
        """Elements of the voxel arrays' channels: those that the potential is used for."""
        return Channels.of(self.potential.elements)

    @property
    def seen_layers(self) -> slice:
        """Layers of the grid that a network is shown."""
        return seen_layers(self.grid.shape[2], self.num_known, self.config)

    def numbers_of_row(self, row: Candidate) -> NDArray[np.int64]:
        """Atomic numbers (N,) of a candidate."""
        return self.numbers_of(row.positions, self.own_numbers(row.numbers))

    def numbers_of(
        self, positions: NDArray[np.float64], species: NDArray[np.integer] | None
    ) -> NDArray[np.int64]:
        """Atomic numbers (N,) of atoms (N, 3): their species, or the only element."""
        if species is not None:
            return np.asarray(species, dtype=np.int64)
        (number,) = self.channels.numbers
        return np.full(len(positions), number)

    def own_numbers(self, species: NDArray[np.int64] | None) -> NDArray[np.int64] | None:
        """Atomic numbers as they are stored; None where the one element says it all.

        Files of earlier versions know no atomic numbers, so that those of their rows are 0.
        """
        return None if self.bulk.chemistry is None else species

    @property
    def outer(self) -> float:
        """Height of the held layers, Å."""
        return outer_layers(self.config.relaxation.outer_thickness, self.bulk.reach)

    def replicated(self, x: int, y: int) -> "BoundarySystem":
        """This system in an in-plane cell x times y as large, with voxels of the same size."""
        boundary, grid = self.config.boundary, self.grid
        shape = (x * grid.shape[0], y * grid.shape[1], grid.shape[2])
        replicas = (x * boundary.replicas[0], y * boundary.replicas[1])
        sections = {
            "boundary": boundary.model_copy(update={"replicas": replicas}),
            "voxels": self.config.voxels.model_copy(
                update={"shape": shape, "known": self.num_known}
            ),
        }
        bicrystal = self.bicrystal.replicated(x, y)
        return replace(
            self,
            config=self.config.model_copy(update=sections),
            bicrystal=bicrystal,
            frame=replace(self.frame, bicrystal=bicrystal),
            # Voxels keep their lean, although the larger cell may have a steeper second edge.
            grid=Grid(shape, (*np.diag(bicrystal.cell), self.frame.height), tilt=y * grid.tilt),
        )

    @classmethod
    def build(
        cls,
        config: CampaignConfig,
        folder: Path,
        run: RunDirectory | None = None,
        potential: Engine | None = None,
    ) -> "BoundarySystem":
        """Find the engine, measure the bulk crystal and lay out the slabs.

        Args:
            folder: first folder searched for the potential file.
            run: run directory that caches the measurements; without it everything is measured
                again.
            potential: the engine, if it was found before.

        Raises:
            GcdError: if potential, orientations, slab heights or voxels do not fit together.
        """
        boundary = config.boundary
        # A name without a boundary is refused before LAMMPS starts and anything is written.
        check_name(boundary)
        potential = potential or find_engine(config, folder)
        cache = None if run is None else run.bulk
        if boundary.slabs is not None:
            bulk = measure_crystal(potential, Bicrystal.build(boundary, 1.0), cache, boundary.mu)
        else:
            bulk = measure_bulk(
                *(potential, boundary.symbols, boundary.lattice, boundary.a0, cache),
                boundary.c0,
                boundary.mu,
            )
        return cls.of(config, potential, bulk, run)

    @classmethod
    def of(
        cls,
        config: CampaignConfig,
        potential: Engine,
        bulk: Bulk,
        run: RunDirectory | None = None,
    ) -> "BoundarySystem":
        """Lay out the slabs for a bulk crystal that was measured before; same errors.

        The response of a strained grain is measured here if the run has no record of it.
        """
        cache = None if run is None else run.strained
        layout = measured_layout(config, potential, bulk, cache)
        return cls(
            config,
            potential,
            bulk,
            layout.bicrystal,
            layout.frame,
            layout.grid,
            layout.num_known,
            layout.warnings,
        )


def prepare(run_dir: Path, config: CampaignConfig, folder: Path) -> BoundarySystem:
    """Prepare a run directory so that it is self-contained, before the first task.

    It gets copies of the potential's files and the measured bulk crystal. Settings that are
    probably unintended are reported as warnings on stderr.

    Raises:
        GcdError: as ``BoundarySystem.build``, if the potential is not the one of the run's relaxed
            structures, or if files of an earlier session were edited or damaged.
    """
    check_name(config.boundary)
    potential = find_engine(config, folder)
    run = RunDirectory(run_dir)
    has_structures = has_structures_of(run, potential)
    system = BoundarySystem.build(config, folder, run, potential)
    for warning in system.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    keep_potential(run, potential, has_structures)
    _keep_image(run, system, folder)
    return system


def placed_image(system: BoundarySystem, run: RunDirectory) -> PlacedImage | None:
    """The image that guidance names, from its copy in a prepared run.

    Raises:
        ConfigError: as ``place_image``.
    """
    found = image_of(system.config.guidance)
    if found is None:
        return None
    key, target = found
    path = run.targets / Path(target.file).name
    return place_image(path, target, system.frame, system.config.name, key)


def _keep_image(run: RunDirectory, system: BoundarySystem, folder: Path) -> None:
    """Copy the image that guidance names into the run, and check that it shows the boundary."""
    found = image_of(system.config.guidance)
    if found is None:
        return
    key, target = found
    copy = run.targets / Path(target.file).name
    if not copy.exists():
        content = find_image(target, folder, system.config.name, key).read_bytes()
        run.targets.mkdir(exist_ok=True)
        with replacing(copy) as temporary:
            temporary.write_bytes(content)
    placed_image(system, run)


@functools.lru_cache(maxsize=64)
def load_boundary_system(run_dir: str) -> BoundarySystem:
    """System of a prepared run directory, cached because a worker needs it for every task.

    A worker of a set meets many runs, and keeps the last ones.

    Raises:
        GcdError: if the copies of the potential or the bulk crystal differ from those of
            ``prepare``.
    """
    run = RunDirectory(run_dir)
    config = load_campaign(run.config)
    potential, bulk = read_prepared(config, run.potential, run.bulk)
    return BoundarySystem.of(config, potential, bulk, run)
