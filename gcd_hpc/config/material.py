"""The campaign file of a material: structures of one density whose spectrum is a measured one.

Lengths are in Å, energies in eV.
"""

import re
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from gcd_hpc.config.campaign import MOST_ROUNDS, Name
from gcd_hpc.config.guidance import SpectrumGuidance
from gcd_hpc.config.section import (
    Depth,
    Fraction,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Section,
    refuse,
)
from gcd_hpc.config.simulation import PotentialConfig

Density = Annotated[float, Field(ge=0.01, le=100.0)]
Broadening = Annotated[float, Field(ge=0.0, le=100.0)]
Temperature = Annotated[float, Field(gt=0.0, le=100_000.0)]
MOST_ENERGIES = 10_000
"""Largest number of energies of a spectrum."""
MATERIAL = "material"
"""Key whose presence makes a campaign file one of a material."""


class MaterialSection(Section):
    """What is sampled: atoms of one element in a periodic cube."""

    element: str
    """Chemical symbol."""
    num_atoms: Annotated[int, Field(ge=8, le=100_000)] = 216
    """Number of atoms of every structure: of quenches, given ones and candidates."""
    density_g_cm3: Density
    """Density of the candidates, g/cm^3. Where the bonds follow from the density, as in carbon, a
    spectrum says little beside it: choose it first.
    """

    @field_validator("element")
    @classmethod
    def _is_a_symbol(cls, element: str) -> str:
        if not re.fullmatch("[A-Z][a-z]?", element):
            refuse(f"must be a chemical symbol such as C, got {element!r}")
        return element


class TargetConfig(Section):
    """The measured spectrum: docs/spectra.md. It must state energies, element and edge."""

    file: str
    """File of a target, which ``spectra import`` writes, looked for beside the campaign file and
    then in the working directory. The run keeps a copy of it.
    """
    shift_ev: float = 0.0
    """Added to the energies of the file, eV: the difference between the zeros of the engine's scale
    and that of the measurement, known from a crystal.
    """
    fwhm_ev: Broadening = 0.0
    """Gaussian broadening of the measured spectrum, eV."""
    max_shift_ev: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    """Largest further shift in either direction, eV, which is not known and found on the fly."""


class GivenStructures(Section):
    """Known structures that the networks learn from beside the quenches, or in their place."""

    file: str
    """Structures in periodic boxes with right angles, in any format that ASE reads, looked for as
    the target is. Frames of one trajectory state the same ``group`` in their comment line.
    """
    num_tasks: PositiveInt = 1
    """Number of tasks that their relaxation and labelling are divided into."""


class QuenchConfig(Section):
    """Own structures, by melt-quench: a liquid is cooled at a constant rate and relaxed."""

    densities_g_cm3: Annotated[tuple[Density, ...], Field(min_length=1, max_length=1000)]
    """Densities, g/cm^3. Those around that of the material teach the networks more than one."""
    num_per_density: PositiveInt = 4
    """Number of quenches at each density."""
    liquid_k: Temperature = 7000.0
    """Temperature of the liquid, K."""
    final_k: Temperature = 300.0
    """Temperature at the end of the quench, K."""
    liquid_steps: PositiveInt = 5_000
    """Steps of molecular dynamics in the liquid."""
    quench_steps: PositiveInt = 20_000
    """Steps from the liquid to the final temperature."""
    hold_steps: PositiveInt = 2_000
    """Steps at the final temperature."""
    timestep_ps: PositiveFloat = 0.001
    """Time step, ps."""
    chunk_size: PositiveInt = 1
    """Quenches of one task, which writes one part file."""

    @property
    def num(self) -> int:
        """Number of all quenches."""
        return len(self.densities_g_cm3) * self.num_per_density

    @property
    def num_chunks(self) -> int:
        """Number of tasks that make them."""
        return -(-self.num // self.chunk_size)


class LabellingConfig(Section):
    """Spectra of chosen atoms by an engine: docs/spectra.md."""

    engine: str = "feff10"
    """feff10, the .h5 file of a table of spectra, looked for as the target is, or a Python path
    ``module:Class`` to an engine of your own. Naming it runs its code.
    """
    edge: str = "K"
    """Absorption edge, such as K or L3."""
    atoms_per_structure: PositiveInt = 8
    """Atoms of each quench or given structure, on average, that the networks learn from. Those of a
    task are chosen together so that their surroundings differ most.
    """
    atoms_per_candidate: Annotated[int, Field(ge=2, le=1_000_000)] = 8
    """Random atoms of each candidate by which its spectrum is verified."""
    timeout_s: PositiveFloat = 300.0
    """Processor time of one atom, s."""
    window_ev: tuple[float, float, float] | None = None
    """feff10: first and last energy and their distance on its own scale, eV. Required but for the
    K edge of C.
    """
    fwhm_ev: Broadening = 0.8
    """feff10: Gaussian broadening beside the lifetime of the core hole, eV."""

    @field_validator("window_ev")
    @classmethod
    def _rises(cls, window: tuple[float, float, float] | None) -> tuple[float, float, float] | None:
        if window is None:
            return None
        first, last, step = window
        if not (step > 0 and last - first >= 10 * step):
            refuse(
                "must be [first, last, distance] with at least ten distances between first and"
                f" last, got [{first:g}, {last:g}, {step:g}]"
            )
        if (last - first) / step > MOST_ENERGIES:
            refuse(
                f"must have at most {MOST_ENERGIES:,} distances between first and last, got"
                f" [{first:g}, {last:g}, {step:g}]"
            )
        return window


class NetworkShape(Section):
    """What the two equivariant networks have in common."""

    cutoff_a: PositiveFloat = 3.0
    """Distance up to which atoms see each other, Å: at least that of second neighbours."""
    width: PositiveInt = 48
    """Number of features of an atom."""
    num_layers: Depth = 3
    """Number of exchanges between neighbours."""
    learning_rate: PositiveFloat = 3e-3
    """Peak learning rate, reached after a short warm-up."""


class PriorConfig(NetworkShape):
    """The particle model, which makes probable structures."""

    num_steps: PositiveInt = 6_000
    """Number of training steps of each round."""
    batch_size: PositiveInt = 1
    """Structures in one step."""
    min_sigma_a: PositiveFloat = 0.02
    """Noise that is left at the end of sampling, Å."""
    max_sigma_a: PositiveFloat = 0.9
    """Noise at the begin of sampling, Å: enough to forget where the atoms were."""

    @model_validator(mode="after")
    def _noise_is_a_range(self) -> "PriorConfig":
        if self.min_sigma_a >= self.max_sigma_a:
            limit = f"{self.max_sigma_a:g}"
            refuse(
                f"must be less than max_sigma_a, {limit}, got {self.min_sigma_a:g}", "min_sigma_a"
            )
        return self


class PropertyNetworkConfig(NetworkShape):
    """The network that predicts spectra from noisy positions and so guides the particle model."""

    num_steps: PositiveInt = 1_500
    """Training steps of one network; a step takes one structure."""
    num_folds: Annotated[int, Field(ge=2, le=50)] = 3
    """Further networks, each trained without a share of the groups, by which the error of the
    network is measured.
    """


class MaterialSamplingConfig(Section):
    """Candidates of each round, by the particle model. Candidate i with guidance and candidate i
    without it have the same random numbers.
    """

    num_guided: NonNegativeInt = 8
    """Number of candidates with guidance."""
    num_unguided: NonNegativeInt = 4
    """Number of candidates without it at the same density: what guidance is judged against."""
    chunk_size: PositiveInt = 4
    """Candidates of one task, which writes one part file."""
    num_steps: PositiveInt = 60
    """Steps of the first descent from noise."""
    num_restarts: NonNegativeInt = 2
    """How often noise is added again, so that atoms with a bond too many or too few find other
    places.
    """

    @property
    def num(self) -> int:
        """Number of candidates of a round."""
        return self.num_guided + self.num_unguided


class MaterialRelaxationConfig(Section):
    """Relaxation of quenches and candidates in their boxes, with conjugate gradients."""

    ftol_ev_a: PositiveFloat = 1e-3
    """Largest force that is left, eV/Å: the norm over all atoms."""
    max_evaluations: PositiveInt = 20_000
    """Force evaluations after which a structure has failed."""
    min_distance_a: PositiveFloat = 0.9
    """Shortest distance between two atoms of a sound relaxed structure, Å."""
    timeout_s: PositiveFloat = 120.0
    """Processor time that LAMMPS may use for every thousand atoms begun; the dynamics of a quench
    have more.
    """


class MaterialSelectionConfig(Section):
    """Which candidates the particle model learns from in the next rounds. The property network
    learns from all that have spectra.
    """

    num_candidates: NonNegativeInt = 8
    """Number of candidates of all earlier rounds together, those of smallest spectrum error. With 0
    the particle model always learns from the same structures.
    """
    max_energy_ev_atom: PositiveFloat = 0.5
    """Height of the energy window above the lowest first structure, eV an atom."""


class MaterialBudgetConfig(Section):
    """Limits of the campaign. It ends at the first one that is reached."""

    rounds: Annotated[int, Field(ge=0, le=MOST_ROUNDS)] = 2
    """Number of rounds. Each trains both networks and samples, relaxes and verifies candidates."""
    wall_time_s: PositiveFloat | None = None
    """Seconds of work, over all sessions."""
    target_error: PositiveFloat | None = None
    """Stop when a candidate of this spectrum error or a smaller one is known."""
    max_quarantined: Fraction = 0.05
    """Stop as failed when a larger share of the structures was set aside because of a bug."""


class MaterialConfig(Section):
    """The campaign file of a material. Its structures are quenched or given, some of their atoms
    labelled by an engine of spectra, and networks trained on them; in each round candidates are
    sampled with and without guidance by the target, relaxed, verified by the engine, and learned
    from: docs/spectra.md.
    """

    name: Name
    """Name of letters, digits and any of _ . - . The run directory is runs/NAME."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed from which all random numbers follow."""
    material: MaterialSection
    potential: PotentialConfig
    target: TargetConfig
    structures: GivenStructures | None = None
    quench: QuenchConfig | None = None
    labelling: LabellingConfig = LabellingConfig()
    prior: PriorConfig = PriorConfig()
    property_network: PropertyNetworkConfig = PropertyNetworkConfig()
    sampling: MaterialSamplingConfig = MaterialSamplingConfig()
    guidance: tuple[SpectrumGuidance, ...] = ()
    """What candidates are guided by: one entry with ``property: spectrum``."""
    relaxation: MaterialRelaxationConfig = MaterialRelaxationConfig()
    selection: MaterialSelectionConfig = MaterialSelectionConfig()
    budget: MaterialBudgetConfig = MaterialBudgetConfig()

    @property
    def num_quench_chunks(self) -> int:
        """Tasks that make the first structures: those of the quenches, then of given ones."""
        own = 0 if self.quench is None else self.quench.num_chunks
        return own + (0 if self.structures is None else self.structures.num_tasks)

    @property
    def num_sample_chunks(self) -> int:
        """Tasks that sample, relax and verify the candidates of a round, each."""
        return -(-self.sampling.num // self.sampling.chunk_size)

    @property
    def spectrum_guidance(self) -> SpectrumGuidance | None:
        """The term that guides; None without guidance."""
        return self.guidance[0] if self.guidance else None

    @model_validator(mode="after")
    def _something_is_learned(self) -> "MaterialConfig":
        if self.quench is None and self.structures is None:
            refuse("is required where no structures are given, but missing", "quench")
        num_groups = 0 if self.quench is None else len(set(self.quench.densities_g_cm3))
        if self.structures is None and num_groups < 2:
            refuse(
                "must have at least two densities where no structures are given, because the error"
                f" of the property network is measured on those left out, got {num_groups}",
                "quench.densities_g_cm3",
            )
        return self

    @model_validator(mode="after")
    def _candidates_are_wanted(self) -> "MaterialConfig":
        if len(self.guidance) > 1:
            refuse(f"must have one entry, the spectrum, got {len(self.guidance)}", "guidance")
        if self.sampling.num_guided and not self.guidance:
            refuse(
                "is required where sampling.num_guided is greater than 0, but missing; add"
                " - property: spectrum",
                "guidance",
            )
        if self.budget.rounds and not self.sampling.num:
            refuse(
                "must be greater than 0 where sampling.num_unguided is 0, got 0",
                "sampling.num_guided",
            )
        return self

    @model_validator(mode="after")
    def _window_is_known(self) -> "MaterialConfig":
        labelling = self.labelling
        is_carbon = (self.material.element, labelling.edge) == ("C", "K")
        if labelling.engine == "feff10" and labelling.window_ev is None and not is_carbon:
            refuse(
                f"is required for the {self.material.element} {labelling.edge} edge by feff10, but"
                " missing; give [first, last, distance] in eV",
                "labelling.window_ev",
            )
        return self
