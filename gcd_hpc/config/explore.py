"""Exploration: small grand canonical moves on the best structures that are known.

Lengths are in Å, energies in J/m^2.
"""

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from gcd_hpc.config.section import (
    Fraction,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Section,
    refuse,
)
from gcd_hpc.config.simulation import MolecularDynamicsConfig


class MoveDynamicsConfig(MolecularDynamicsConfig):
    """Molecular dynamics of the moves of kind anneal, by default short and cool."""

    temperature_k: tuple[PositiveFloat, PositiveFloat] = (600.0, 1800.0)
    """Lowest and highest temperature, drawn uniformly, K. With ``cooled_to`` of 0.3, 0.6 to 0.9
    of the melting point is a good range.
    """
    num_steps: tuple[PositiveInt, PositiveInt] = (200, 1500)
    """Smallest and largest number of steps, drawn log-uniformly."""


class ExploreConfig(Section):
    """Exploration after the search and after each round, generation by generation.

    A generation is a number of chains. A chain starts from a known low structure and changes it
    move by move: it removes and inserts atoms, shakes and anneals them within a window of the
    boundary, shifts the upper grain, or in-paints the window with the model. It goes on from its
    new structure if that lies about as low as the one before, each compared with the lowest energy
    known for its own [n].
    """

    generations: NonNegativeInt = 0
    """Number of generations after the search, and again after each round. 0 explores nothing."""
    patience: NonNegativeInt = 0
    """Generations in a row without a noticeable improvement after which a round explores no
    further. An improvement is an energy more than 0.001 J/m^2 below the lowest known one of its
    [n], or the first one of an [n]. 0 explores all generations.
    """
    chains: PositiveInt = 16
    """Number of chains of one generation. All of them start from structures that were known when
    the generation began.
    """
    chain_length: PositiveInt = 5
    """Number of moves of one chain."""
    chains_per_task: PositiveInt = 4
    """Chains of one task, which writes one part file. Must divide chains."""
    archive_size: PositiveInt = 12
    """Number of lowest unique structures of each [n] from which chains start. Of two that moves
    began with as often, one that is a quarter of this number of ranks higher is drawn e times less
    often. In alloys those are added that are the lowest of their [n] at other chemical potentials,
    see docs/science.md#mu-range.
    """
    threshold_j_m2: NonNegativeFloat = 0.05
    """How much higher a new structure may lie for its chain to go on from it."""
    screen_window_j_m2: NonNegativeFloat = 0.35
    """How far above the lowest energy of its [n] a structure is still relaxed with the preset."""
    window_radius: tuple[PositiveFloat, PositiveFloat] = (3.0, 6.5)
    """Smallest and largest radius of a window in the boundary plane."""
    window_depth: PositiveFloat = 6.0
    """Largest distance of the atoms of a window from the height of the boundary, and of those that
    molecular dynamics move where nothing else changes.
    """
    md: MoveDynamicsConfig = MoveDynamicsConfig()
    least_share: Fraction = 0.03
    """Least share of the cost for each kind of move. The rest is shared by success."""
    anneal_share: Fraction = 0.0
    """Least share of the cost for moves of kind anneal, if that is more than ``least_share``. They
    cost three to four times as much as others and seldom find something, but then what these do
    not reach.
    """
    discount: Annotated[float, Field(gt=0.0, le=1.0)] = 0.8
    """Weight of a generation's successes relative to those of the generation after it."""

    @field_validator("window_radius")
    @classmethod
    def _ascending(cls, limits: tuple[float, float]) -> tuple[float, float]:
        if limits[0] > limits[1]:
            refuse(f"must be [smallest, largest], got [{limits[0]:g}, {limits[1]:g}]")
        return limits

    @model_validator(mode="after")
    def _tasks_are_whole(self) -> "ExploreConfig":
        if self.chains % self.chains_per_task:
            refuse(
                f"must divide explore.chains, {self.chains}, got {self.chains_per_task}",
                "chains_per_task",
            )
        return self

    @property
    def tasks_per_generation(self) -> int:
        """Number of tasks of one generation."""
        return self.chains // self.chains_per_task

    @property
    def moves_per_task(self) -> int:
        """Number of moves, and so of rows, of one task."""
        return self.chains_per_task * self.chain_length
