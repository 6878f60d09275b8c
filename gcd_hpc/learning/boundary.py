"""What every stage starts from: the run's config and the objects that follow from it and the
measured bulk crystal.
"""

import functools
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.loader import load_campaign
from gcd_hpc.engines.bulk import Bulk, measure_bulk
from gcd_hpc.engines.layout import lay_out
from gcd_hpc.engines.potentials import Potential, find_potential
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.frame import Frame


@dataclass(frozen=True)
class BoundarySystem:
    """One boundary with its potential, ready to be simulated."""

    config: CampaignConfig
    potential: Potential
    bulk: Bulk
    bicrystal: Bicrystal
    frame: Frame
    warnings: tuple[str, ...] = ()
    """What is allowed but hardly meant, such as voxels that are too coarse."""

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
        layout = lay_out(config, boundary.a0 or bulk.a0, config.name, bulk.cutoff)
        return cls(config, potential, bulk, layout.bicrystal, layout.frame, layout.warnings)


def prepare(run_dir: Path, config: CampaignConfig, folder: Path) -> BoundarySystem:
    """Everything that can go wrong before the first task does so here; the run directory then
    stands on its own.

    Warns of what is allowed but hardly meant.
    """
    setting = BoundarySystem.build(config, folder, RunDirectory(run_dir).bulk)
    for warning in setting.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if setting.potential.file is not None and not (run_dir / setting.potential.file.name).exists():
        shutil.copyfile(setting.potential.file, run_dir / setting.potential.file.name)
    return setting


@functools.cache
def load_boundary_system(run_dir: str) -> BoundarySystem:
    """The setting of a prepared run directory; kept, because a worker asks for it once a task."""
    run = RunDirectory(run_dir)
    return BoundarySystem.build(load_campaign(run.config), run.path, run.bulk)
