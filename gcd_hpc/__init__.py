"""Grain boundary structures by grand canonical diffusion on HPC machines."""

from importlib.metadata import version

__version__ = version("gcd-hpc")
