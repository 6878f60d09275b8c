"""Grain boundary structures by grand canonical diffusion on HPC machines."""

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gcd_hpc.store.run import Run, open_run

__all__ = ["Run", "__version__", "open_run"]
__version__ = version("gcd-hpc")


def __getattr__(name: str) -> Any:
    """``open_run`` and its ``Run`` load numpy, ASE and HDF5 when they are first asked for; ``import
    gcd_hpc`` loads none of them.
    """
    if name not in ("Run", "open_run"):
        raise AttributeError(f"module 'gcd_hpc' has no attribute {name!r}")
    from gcd_hpc.store import run

    return getattr(run, name)


def __dir__() -> list[str]:
    """What tab completion offers."""
    return __all__
