"""What every stage starts from: the run's config and the objects that follow from it and the
measured bulk crystal.
"""

import functools
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.loader import load_campaign
from gcd_hpc.engines.bulk import Bulk, measure_bulk
from gcd_hpc.engines.potentials import Potential, find_potential
from gcd_hpc.errors import ConfigError
from gcd_hpc.learning.assembly import grid_of
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.frame import Frame
from gcd_hpc.voxels.encoder import shared_voxels


@dataclass(frozen=True)
class BoundarySystem:
    """One boundary with its potential, ready to be simulated.

    The box is as high as ``voxels.shape[2]`` voxels whose height is the mean of their in-plane
    lengths.
    """

    config: CampaignConfig
    potential: Potential
    bulk: Bulk
    bicrystal: Bicrystal
    frame: Frame

    @classmethod
    def build(
        cls, config: CampaignConfig, folder: Path, bulk_cache: Path | None = None
    ) -> "BoundarySystem":
        """Find the potential, measure the bulk crystal and lay out the slabs.

        Args:
            folder: where the potential file is looked for first.
            bulk_cache: JSON file that keeps the measured lattice constant and cohesive energy.

        Raises:
            GcdError: if potential, orientations, slab heights or voxels do not fit together.
        """
        boundary = config.boundary
        potential = find_potential(config.potential, boundary.element, folder)
        bulk = measure_bulk(potential, boundary.element, boundary.lattice, boundary.a0, bulk_cache)
        bicrystal = Bicrystal.build(boundary, boundary.a0 or bulk.a0)
        num_x, num_y, num_z = config.voxels.shape
        spacing = (bicrystal.lengths[0] / num_x + bicrystal.lengths[1] / num_y) / 2
        frame = Frame.build(bicrystal, boundary.slab_heights, num_z * spacing)
        if config.relaxation.outer_thickness < bulk.cutoff:
            raise ConfigError(
                config.name,
                "relaxation.outer_thickness",
                f"must be at least the cutoff of the potential, {bulk.cutoff:.2f} Å, got"
                f" {config.relaxation.outer_thickness}",
            )
        return cls(config, potential, bulk, bicrystal, frame)


def prepare(run_dir: Path, config: CampaignConfig, folder: Path) -> BoundarySystem:
    """Everything that can go wrong before the first task does so here; the run directory then
    stands on its own.

    Warns when the voxels are so coarse that atoms of the perfect crystal share them (A5).
    """
    setting = BoundarySystem.build(config, folder, RunDirectory(run_dir).bulk)
    grid = grid_of(setting.frame, config.voxels.shape)
    shared = shared_voxels(torch.from_numpy(setting.frame.lower(setting.frame.centre)), grid)
    if shared:
        spacing = " x ".join(f"{length:.2f}" for length in grid.spacing)
        print(
            f"warning: voxels.shape: atoms of the crystal share {shared} voxels of {spacing} Å; use"
            " more voxels",
            file=sys.stderr,
        )
    if setting.potential.file is not None and not (run_dir / setting.potential.file.name).exists():
        shutil.copyfile(setting.potential.file, run_dir / setting.potential.file.name)
    return setting


@functools.cache
def load_boundary_system(run_dir: str) -> BoundarySystem:
    """The setting of a prepared run directory; kept, because a worker asks for it once a task."""
    run = RunDirectory(run_dir)
    return BoundarySystem.build(load_campaign(run.config), run.path, run.bulk)
