"""The engine of a campaign: its LAMMPS potential or its ASE calculator."""

from pathlib import Path

from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.engines.calculators import find_calculator, kept_calculator
from gcd_hpc.engines.engine import Engine
from gcd_hpc.engines.potentials import copied_potential, find_potential


def find_engine(config: CampaignConfig, folder: Path) -> Engine:
    """Find the potential, or load the calculator in a process of its own.

    Args:
        folder: of the campaign file.

    Raises:
        PotentialError: as ``find_potential`` and ``find_calculator``.
        LaunchError: if the calculator is not installed or cannot be imported.
    """
    boundary = config.boundary
    if config.engine == "ase":
        assert config.calculator is not None  # CampaignConfig sees to it
        return find_calculator(config.calculator, boundary.symbols, boundary.lattice, folder)
    assert config.potential is not None  # as above
    return find_potential(config.potential, boundary.symbols, folder)


def kept_engine(config: CampaignConfig, folder: Path) -> Engine:
    """The engine from what a run keeps in ``folder``, without loading it.

    Raises:
        PotentialError: if a file is missing, edited or damaged.
    """
    if config.engine == "ase":
        assert config.calculator is not None  # as above
        return kept_calculator(config.calculator, config.boundary.symbols, folder)
    assert config.potential is not None  # as above
    return copied_potential(config.potential, config.boundary.symbols, folder)
