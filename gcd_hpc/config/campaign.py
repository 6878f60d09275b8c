"""The campaign file: one grain boundary, one potential, one budget. Frozen, and valid once built.

Lengths are in Å, energies in eV or, where the name says so, in J/m^2.
"""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from gcd_hpc.config.boundary import BoundaryConfig, Triad, slabs_of
from gcd_hpc.config.elements import num_of_crystal
from gcd_hpc.config.explore import ExploreConfig
from gcd_hpc.config.guidance import GuidanceTerm
from gcd_hpc.config.learning import (
    DecoderConfig,
    DiffusionConfig,
    NetworkConfig,
    PromotionConfig,
    SamplingConfig,
    SelectionConfig,
    TrainingConfig,
    VoxelConfig,
)
from gcd_hpc.config.ranking import RankingConfig
from gcd_hpc.config.section import Fraction, NonNegativeInt, PositiveFloat, Section, refuse
from gcd_hpc.config.simulation import (
    CalculatorConfig,
    PotentialConfig,
    RelaxationConfig,
    SearchConfig,
    outer_layers,
)

__all__ = [
    "BoundaryConfig",
    "BudgetConfig",
    "CampaignConfig",
    "DecoderConfig",
    "DiffusionConfig",
    "ExploreConfig",
    "NetworkConfig",
    "PotentialConfig",
    "PromotionConfig",
    "RelaxationConfig",
    "SamplingConfig",
    "SearchConfig",
    "SelectionConfig",
    "TrainingConfig",
    "Triad",
    "VoxelConfig",
]


MOST_ROUNDS = 10_000
"""Largest number of rounds of a campaign."""


class BudgetConfig(Section):
    """Limits of the campaign. It ends at the first one that is reached."""

    rounds: Annotated[int, Field(ge=0, le=MOST_ROUNDS)] = 2
    """Number of rounds. Each trains a model, samples it, relaxes its candidates and explores. With
    0 nothing is trained: the campaign searches, samples the model that it starts from, if there is
    one, and explores. The boundaries of a set share each model.
    """
    wall_time_s: PositiveFloat | None = None
    """Seconds of work, over all sessions."""
    target_energy_j_m2: float | None = None
    """Stop when a structure of this energy or a lower one is known."""
    plateau_rounds: NonNegativeInt = 0
    """Stop after this many rounds without a lower energy at any [n]. 0 never stops."""
    max_quarantined: Fraction = 0.05
    """Stop as failed when a larger share of the tries was set aside: because of a bug, or because
    their work killed its process again and again.
    """


def _fit_for_a_path(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        refuse(
            "must be letters, digits and any of _ . - only, because folders are called after"
            f" it, got {name!r}"
        )
    return name


Name = Annotated[str, AfterValidator(_fit_for_a_path)]


class CampaignConfig(Section):
    """A whole campaign file."""

    name: Name
    """Name of letters, digits and any of _ . - . The run directory is runs/NAME."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed from which all random numbers follow."""
    boundary: BoundaryConfig
    engine: Literal["lammps", "ase"] = "lammps"
    """What computes energies and forces: LAMMPS with the potential, or the ASE calculator."""
    potential: PotentialConfig | None = None
    calculator: CalculatorConfig | None = None
    model: str | None = None
    """Model file that the campaign starts from, looked for beside the campaign file and then in the
    working directory, or ``builtin`` for the one that comes with the package. It is sampled before
    any training, and the first training starts from it. Its network takes the place of the section
    network.
    """
    energy_model: str | None = None
    """File of an energy model of the campaign's elements and potential, looked for as the model is:
    for ``ranking`` and for guidance by ``gb_energy``.
    """
    voxels: VoxelConfig = VoxelConfig()
    """The voxel grid. It may be left out, or be auto."""
    decoder: DecoderConfig = DecoderConfig()
    diffusion: DiffusionConfig = DiffusionConfig()
    network: NetworkConfig = NetworkConfig()
    training: TrainingConfig = TrainingConfig()
    promotion: PromotionConfig = PromotionConfig()
    search: SearchConfig
    explore: ExploreConfig = ExploreConfig()
    sampling: SamplingConfig
    guidance: tuple[GuidanceTerm, ...] = ()
    """Measured properties that the model's structures shall have, in sampling and in its moves: a
    list whose entries begin with ``property``.
    """
    ranking: RankingConfig = RankingConfig()
    relaxation: RelaxationConfig = RelaxationConfig()
    selection: SelectionConfig = SelectionConfig()
    budget: BudgetConfig = BudgetConfig()

    @model_validator(mode="after")
    def _engine_is_named(self) -> "CampaignConfig":
        wanted = {"lammps": "potential", "ase": "calculator"}
        for engine, section in wanted.items():
            is_given = getattr(self, section) is not None
            if engine == self.engine and not is_given:
                refuse(f"is required but missing, because engine is {engine}", section)
            if engine != self.engine and is_given:
                refuse(
                    f"is of engine {engine}, but engine is {self.engine}; leave one of them out",
                    section,
                )
        return self

    @model_validator(mode="after")
    def _solutes_are_of_the_boundary(self) -> "CampaignConfig":
        known = self.boundary.symbols[num_of_crystal(self.boundary.lattice) :]
        for symbol in self.search.solutes:
            if symbol not in known:
                expected = f"expected {' or '.join(known)}" if known else "it has none"
                refuse(
                    f"names {symbol}, which is no solute of the boundary; {expected}",
                    "search.solutes",
                )
        return self

    @model_validator(mode="after")
    def _something_is_known_at_first(self) -> "CampaignConfig":
        if self.model is None:
            if not self.search.num_tries:
                refuse("must be greater than 0 without a model, got 0", "search.num_tries")
            return self
        if self.decoder.kind == "learned":
            refuse(
                "must be moment in a campaign with a model, because the learned decoder is trained"
                " beside the first model; got learned",
                "decoder.kind",
            )
        if not self.search.num_tries and not self.sampling.num_candidates:
            refuse(
                "must be greater than 0 where search.num_tries is 0, for one of them makes the"
                " first structures; got 0",
                "sampling.num_candidates",
            )
        return self

    @model_validator(mode="after")
    def _energies_are_told(self) -> "CampaignConfig":
        if self.energy_model is not None:
            return self
        uses = "ranking.tries or ranking.moves greater than 1" if self.ranking.is_wanted else ""
        if any(term.property == "gb_energy" for term in self.guidance):
            uses = "guidance by gb_energy"
        if uses:
            refuse(
                f"is required for {uses}, but missing; train one with gcd-hpc model energy",
                "energy_model",
            )
        return self

    @model_validator(mode="after")
    def _samples_can_restart(self) -> "CampaignConfig":
        for number, term in enumerate(self.guidance):
            if (
                term.property == "image"
                and term.restarts
                and self.diffusion.inpainting != "palette"
            ):
                refuse(
                    f"must be 0 with diffusion.inpainting: {self.diffusion.inpainting}, which has"
                    f" no restarts, got {term.restarts}",
                    f"guidance[{number}].restarts",
                )
        return self

    @model_validator(mode="after")
    def _sections_agree(self) -> "CampaignConfig":
        multiple, shape = self.network.voxel_multiple, self.voxels.shape
        # Along x and y, which repeat, the network takes any number.
        if shape != "auto" and shape[2] % multiple:
            why = (
                f"network.patch {self.network.patch} and network.num_levels"
                f" {self.network.num_levels}"
            )
            refuse(
                f"must be a multiple of {multiple} along z for {why}, got {shape[2]}",
                "voxels.shape",
            )
        outer = outer_layers(self.relaxation.outer_thickness, None)
        thinner = min(slabs_of(self.boundary.slab_heights, outer))
        if outer >= thinner:
            refuse(
                f"must be less than the thinner slab, {thinner:g}, got {outer:g}",
                "relaxation.outer_thickness",
            )
        if self.sampling.guidance not in (0.0, 1.0) and not (
            self.diffusion.conditional and self.diffusion.condition_dropout
        ):
            needs = (
                "without diffusion.conditional: true and a diffusion.condition_dropout greater"
                " than 0"
            )
            refuse(f"must be 0 or 1 {needs}, got {self.sampling.guidance:g}", "sampling.guidance")
        return self
