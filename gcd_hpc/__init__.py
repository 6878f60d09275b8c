"""Grain boundary structures by grand canonical diffusion on HPC machines."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gcd_hpc.browse.compare import Comparison, compare
    from gcd_hpc.browse.notebook import plot, run_campaign, status
    from gcd_hpc.browse.overview import Overview, overview
    from gcd_hpc.config.loader import load_campaign
    from gcd_hpc.learning.boundary import BoundarySystem
    from gcd_hpc.learning.relaxation import relax
    from gcd_hpc.learning.sampler import Sampler
    from gcd_hpc.phases.clustering import find_phases
    from gcd_hpc.phases.phase import Phase
    from gcd_hpc.store.run import Run, open_run
    from gcd_hpc.store.run_set import RunSet
    from gcd_hpc.store.schema import Candidate
    from gcd_hpc.structures.bicrystal import Bicrystal
    from gcd_hpc.voxels.encoder import encode
    from gcd_hpc.voxels.grid import Grid
    from gcd_hpc.voxels.moment import decode_moments as decode

    __version__: str

__all__ = [
    "Bicrystal",
    "BoundarySystem",
    "Candidate",
    "Comparison",
    "Grid",
    "Overview",
    "Phase",
    "Run",
    "RunSet",
    "Sampler",
    "__version__",
    "compare",
    "decode",
    "encode",
    "find_phases",
    "load_campaign",
    "open_run",
    "overview",
    "plot",
    "relax",
    "run_campaign",
    "status",
]

_HOMES = {
    "Bicrystal": "structures.bicrystal.Bicrystal",
    "BoundarySystem": "learning.boundary.BoundarySystem",
    "Candidate": "store.schema.Candidate",
    "Comparison": "browse.compare.Comparison",
    "Grid": "voxels.grid.Grid",
    "Overview": "browse.overview.Overview",
    "Phase": "phases.phase.Phase",
    "Run": "store.run.Run",
    "RunSet": "store.run_set.RunSet",
    "Sampler": "learning.sampler.Sampler",
    "compare": "browse.compare.compare",
    "decode": "voxels.moment.decode_moments",
    "encode": "voxels.encoder.encode",
    "find_phases": "phases.clustering.find_phases",
    "load_campaign": "config.loader.load_campaign",
    "open_run": "store.run.open_run",
    "overview": "browse.overview.overview",
    "plot": "browse.notebook.plot",
    "relax": "learning.relaxation.relax",
    "run_campaign": "browse.notebook.run_campaign",
    "status": "browse.notebook.status",
}


def __getattr__(name: str) -> Any:
    """Load what is asked for, and no more: ``import gcd_hpc`` is instant, and only ``Sampler`` and
    ``encode`` need torch.
    """
    if name == "__version__":
        # Loads slower than the rest of this file, and every process of a campaign imports this.
        from importlib.metadata import version

        return version("gcd-hpc")
    if name not in _HOMES:
        raise AttributeError(f"module 'gcd_hpc' has no attribute {name!r}")
    module, _, member = _HOMES[name].rpartition(".")
    return getattr(import_module(f"gcd_hpc.{module}"), member)


def __dir__() -> list[str]:
    """What tab completion offers."""
    return __all__
