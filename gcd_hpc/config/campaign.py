"""The campaign file: one grain boundary, one potential, one budget. Frozen, and valid once built.

Lengths are in Å, energies in eV or, where the name says so, in J/m^2.
"""

import re
from typing import Annotated, Literal, NoReturn

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Auto = Literal["auto"]
# Every count has an upper end far beyond any campaign, so that no number in a file can fill the
# memory or run over where it is used as a machine integer.
PositiveInt = Annotated[int, Field(gt=0, le=1_000_000_000)]
NonNegativeInt = Annotated[int, Field(ge=0, le=1_000_000_000)]
Replicas = Annotated[int, Field(gt=0, le=1000)]
NumVoxels = Annotated[int, Field(ge=3, le=10_000)]
MillerIndex = Annotated[int, Field(ge=-200, le=200)]
Direction = tuple[MillerIndex, MillerIndex, MillerIndex]
POTENTIAL_COMMANDS = ("pair_modify", "comm_modify", "neigh_modify")
"""LAMMPS commands that may follow a potential; none of them runs a program or reads a file."""


def refuse(problem: str, key: str | None = None) -> NoReturn:
    """Fail validation with our own sentence, about another key than the validated one if given,
    e.g. ``"voxels.known"``.
    """
    # Braces would be taken for placeholders of pydantic's message template.
    raise PydanticCustomError(
        "refused",
        "{problem}",
        {"problem": problem} if key is None else {"problem": problem, "key": key},
    )


class Section(BaseModel):
    """Base of all sections: unknown keys are refused, values never change."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        # The text below a key is its description, for the reference and for schemas.
        use_attribute_docstrings=True,
    )


class Triad(Section):
    """Miller indices of the crystal directions along the box axes."""

    x: Direction
    """Crystal direction along the box's x axis."""
    y: Direction
    """Crystal direction along y, at right angles to x."""
    z: Direction
    """Crystal direction along z, the boundary normal; x, y and z are right-handed."""

    @field_validator("x", "y", "z")
    @classmethod
    def _a_direction(cls, indices: Direction) -> Direction:
        if not any(indices):
            refuse("must be a direction, got [0, 0, 0]")
        return indices

    @model_validator(mode="after")
    def _box_axes(self) -> "Triad":
        for first, second in (("x", "y"), ("x", "z"), ("y", "z")):
            a, b = getattr(self, first), getattr(self, second)
            product = sum(i * j for i, j in zip(a, b, strict=True))
            if product:
                refuse(
                    f"{first} and {second} must be at right angles, got {list(a)} and {list(b)}"
                    f" with the dot product {product}: choose directions whose product is 0"
                )
        (a, b, c), (d, e, f), (g, h, i) = self.x, self.y, self.z
        if g * (b * f - c * e) + h * (c * d - a * f) + i * (a * e - b * d) < 0:
            refuse(
                "must be right-handed (x cross y along z), got"
                f" {list(self.x)}, {list(self.y)}, {list(self.z)}: turn the signs of one direction"
            )
        return self


class BoundaryConfig(Section):
    """The bicrystal: z is the boundary normal; the lower grain is held, the upper one may shift."""

    element: str
    """Chemical symbol; both grains are of one element."""
    lattice: Literal["sc", "bcc", "fcc", "diamond"]
    """Crystal structure of both grains."""
    a0: PositiveFloat | None = None
    """Lattice constant; measured with the campaign's potential when not given."""
    lower: Triad
    """Orientation of the grain below the boundary."""
    upper: Triad
    """Orientation of the grain above it."""
    replicas: tuple[Replicas, Replicas] = (1, 1)
    """In-plane repeats of the smallest common cell."""
    slab_heights: tuple[PositiveFloat, PositiveFloat] = (27.0, 27.0)
    """Height of the lower and the upper grain, rounded to whole planes."""
    max_strain: NonNegativeFloat = 1e-6
    """Largest in-plane strain with which the two grains may be made to fit."""

    @field_validator("element")
    @classmethod
    def _a_symbol(cls, element: str) -> str:
        if not re.fullmatch("[A-Z][a-z]?", element):
            refuse(f"must be a chemical symbol such as W or Cu, got {element!r}")
        return element


class PotentialConfig(Section):
    """An interatomic potential in LAMMPS' own words.

    Every file that pair_style or pair_coeff names is looked for in the campaign file's folder, then
    in LAMMPS_POTENTIALS, then among the potentials that LAMMPS ships. The run keeps a copy of it.
    """

    pair_style: str
    """Name and arguments of LAMMPS' pair_style."""
    pair_coeff: str | tuple[str, ...]
    """Arguments of pair_coeff: one text, or a list with one text for each pair_coeff command.
    ``{file}`` stands for the potential file.
    """
    file: str | None = None
    """The potential file, which ``{file}`` in pair_coeff stands for; others are named there."""
    commands: tuple[str, ...] = ()
    """Further LAMMPS commands that the potential needs: pair_modify, comm_modify or neigh_modify
    with their arguments. They follow pair_coeff.
    """

    @property
    def coefficients(self) -> tuple[str, ...]:
        """Arguments of each pair_coeff command."""
        texts = (self.pair_coeff,) if isinstance(self.pair_coeff, str) else self.pair_coeff
        return tuple(line for text in texts for line in text.splitlines() if line.strip())

    @field_validator("commands")
    @classmethod
    def _may_be_run(cls, commands: tuple[str, ...]) -> tuple[str, ...]:
        for command in commands:
            if command.split()[:1] not in [[name] for name in POTENTIAL_COMMANDS]:
                refuse(f"must begin with one of {', '.join(POTENTIAL_COMMANDS)}, got {command!r}")
        return commands

    @model_validator(mode="after")
    def _file_is_used(self) -> "PotentialConfig":
        is_used = any("{file}" in line for line in self.coefficients)
        if self.file is not None and not is_used:
            refuse(
                f"must contain {{file}}, where the path of {self.file} goes, got"
                f" {self.pair_coeff!r}",
                "pair_coeff",
            )
        if self.file is None and is_used:
            refuse("is required, because pair_coeff contains {file}", "file")
        return self


class VoxelConfig(Section):
    """The grid (A1-A5).

    The box height follows from the number of voxels along z: they are as high as they are wide.
    """

    shape: tuple[NumVoxels, NumVoxels, NumVoxels]
    """Voxels along x, y and z."""
    known: PositiveInt = 18
    """Voxel layers at each end that hold perfect grain and stay fixed during in-painting."""
    scale: PositiveFloat | Auto = "auto"
    """Divisor of the voxel values (paper: 0.02); auto is the standard deviation of the training
    set.
    """

    @model_validator(mode="after")
    def _something_is_left_to_generate(self) -> "VoxelConfig":
        if 2 * self.known >= self.shape[2]:
            refuse(
                f"must be less than half of the {self.shape[2]} layers of shape, got {self.known}",
                "known",
            )
        return self


class DecoderConfig(Section):
    """Voxels to atoms: exact moments, or the paper's learned decoder (A6-A8)."""

    kind: Literal["moment", "learned"] = "moment"
    """moment needs no training; learned is trained once, beside the first model."""
    num_features: PositiveInt = 64
    """Channels of the learned decoder."""
    threshold: Fraction = 0.05
    """Occupancy above which a voxel belongs to an atom (paper: p_thre)."""
    max_noise: NonNegativeFloat = 0.1
    """Largest standard deviation of the noise that the learned decoder is trained to remove."""
    cluster_distance: PositiveFloat = 0.45
    """Coordinates closer than this many nearest-neighbour distances are one atom."""
    num_steps: PositiveInt = 1500
    """Training steps of the learned decoder."""
    batch_size: PositiveInt = 4
    """Arrays of one training step of the learned decoder."""
    learning_rate: PositiveFloat = 6e-3
    """Of the learned decoder."""


class DiffusionConfig(Section):
    """The variance-preserving process (B3) and what the network predicts."""

    schedule: Literal["linear", "cosine"] = "cosine"
    """How the noise grows with time."""
    prediction: Literal["epsilon", "v"] = "v"
    """What the network predicts: the noise, or the velocity v."""
    inpainting: Literal["palette", "repaint"] = "palette"
    """How the known layers are given (B7): palette trains on the rest with them as input; repaint
    knows of them while sampling only.
    """
    conditional: bool = True
    """Give (E_gb, [n]) to the network, so that sampling can ask for them."""
    condition_dropout: Fraction = 0.15
    """Share of training samples whose condition is hidden."""


class NetworkConfig(Section):
    """The 3D U-Net (B1-B2): periodic padding in the plane, zeros along z."""

    width: PositiveInt = 32
    """Channels of the first level; each further level has twice as many."""
    num_levels: Annotated[int, Field(gt=0, le=10)] = 2
    """Resolutions, each half of the one before; with patch they set what shape must be a multiple
    of.
    """
    num_blocks: PositiveInt = 3
    """Residual blocks a level."""
    patch: Literal[1, 2] = 2
    """2 folds 2x2x2 voxels into channels first: an eighth of the cost."""


class TrainingConfig(Section):
    """AdamW on the unknown region (B5, B7)."""

    num_steps: PositiveInt = 2500
    """Steps of the first model."""
    retrain_steps: PositiveInt = 1500
    """Steps of the second and later models, which start from the one before."""
    batch_size: PositiveInt = 4
    """Structures of one step, all processes together."""
    learning_rate: PositiveFloat = 6e-4
    """At the start, after a short rise."""
    min_learning_rate: PositiveFloat = 1e-5
    """Where the schedule ends; at most learning_rate."""
    learning_rate_schedule: Literal["cosine", "plateau"] = "cosine"
    """cosine decay to the minimum, or halved when the validation loss stops falling (paper)."""
    weight_decay: NonNegativeFloat = 2e-5
    """Of AdamW."""
    ema_decay: Fraction = 0.995
    """Of the running average of the weights, which is what samples; less than 1."""
    symmetry: bool = True
    """Augment with the bicrystal's own symmetry operations beside the shifts, which are always on
    (A4).
    """
    validation_share: Fraction = 0.05
    """Share of the structures that is held out; less than 1."""
    checkpoint_every: PositiveInt = 250
    """Steps between checkpoints and validations."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto takes bfloat16 where the processor or GPU has it."""
    compile: bool | Auto = "auto"
    """Compile the network with torch; auto does on GPUs."""

    @field_validator("ema_decay", "validation_share")
    @classmethod
    def _below_one(cls, value: float) -> float:
        if value >= 1:
            refuse(f"must be less than 1, got {value:g}")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> "TrainingConfig":
        if self.min_learning_rate > self.learning_rate:
            refuse(
                f"must be at most learning_rate, {self.learning_rate:g}, got"
                f" {self.min_learning_rate:g}",
                "min_learning_rate",
            )
        if self.learning_rate_schedule == "plateau" and not self.validation_share:
            refuse("must be greater than 0 for the plateau schedule, got 0", "validation_share")
        return self


class PromotionConfig(Section):
    """When a new model takes the place of the one before: neither its hold-out loss nor its
    canaries may be worse.
    """

    num_canaries: NonNegativeInt = 16
    """Candidates of the same seeds for every model, loosely relaxed; 0 promotes every model."""
    max_loss_ratio: PositiveFloat = 1.1
    """Largest hold-out loss, relative to the old model's on the same structures."""
    max_energy_rise_j_m2: NonNegativeFloat = 0.15
    """How far the canaries' median energy may lie above the old model's: a dozen canaries scatter.
    """
    max_invalid_rise: Fraction = 0.25
    """How far the share of invalid or failed canaries may lie above the old model's."""


class MolecularDynamicsConfig(Section):
    """Annealing of some tries of the search (D4)."""

    probability: Fraction = 0.0
    """Share of the tries that are annealed."""
    temperature_k: tuple[PositiveFloat, PositiveFloat] = (1000.0, 2500.0)
    """Lowest and highest temperature, drawn uniformly, K."""
    num_steps: tuple[PositiveInt, PositiveInt] = (5000, 100000)
    """Drawn log-uniformly."""
    timestep_ps: PositiveFloat = 0.002
    """Picoseconds."""

    @field_validator("temperature_k", "num_steps")
    @classmethod
    def _ascending(cls, limits: tuple[float, float]) -> tuple[float, float]:
        if limits[0] > limits[1]:
            refuse(f"must be [lowest, highest], got [{limits[0]:g}, {limits[1]:g}]")
        return limits


class SearchConfig(Section):
    """Grand canonical random search (D4): shift, remove atoms of one plane, perturb, perhaps
    anneal, relax.
    """

    num_tries: PositiveInt
    """Tries of the search before the first model."""
    perturbation: NonNegativeFloat = 0.3
    """Largest displacement along each axis, within one plane spacing or so of the boundary."""
    md: MolecularDynamicsConfig = MolecularDynamicsConfig()
    chunk_size: PositiveInt = 50
    """Tries of one task, which make one part file."""


class SamplingConfig(Section):
    """In-painting of the boundary region (B4, B7)."""

    num_candidates: PositiveInt
    """Candidates of one model version."""
    solver: Literal["dpm-solver-3", "dpm-solver++2m"] = "dpm-solver++2m"
    """Of third or second order."""
    num_steps: PositiveInt = 30
    """Solver steps: three network evaluations each for dpm-solver-3, one for dpm-solver++2m."""
    resamples: PositiveInt = 5
    """How often repaint takes each of these steps, going back in between; palette takes it once."""
    guidance: NonNegativeFloat = 1.0
    """Classifier-free guidance weight: 0 ignores the condition, 1 follows it."""
    energy_margin_j_m2: float = 0.1
    """Ask for this much below the lowest energy known for the same [n]."""
    chunk_size: PositiveInt = 50
    """Candidates of one task, which make one part file."""
    batch_size: PositiveInt = 10
    """Candidates that go through the network together."""
    min_pair_distance: Fraction = 0.35
    """Shortest allowed distance in decoded structures, in nearest-neighbour distances; LAMMPS
    pushes apart what is a little too close.
    """
    bootstrap_share: Fraction = 0.0
    """Share of candidates whose registry is one of a relaxed training structure, jittered; the
    others draw it uniformly.
    """
    registry_jitter: NonNegativeFloat = 0.2
    """Standard deviation along each axis of what is added to such a registry."""
    relax_batch: PositiveInt = 8
    """Asynchronous mode: candidates of one relaxation task; those of a chunk are ranked by score
    first.
    """
    max_model_lag: NonNegativeInt = 1
    """Asynchronous mode: waiting candidates of a model this many versions behind are still relaxed,
    older ones are dropped.
    """


class RelaxationConfig(Section):
    """Conjugate gradients in LAMMPS (D11): a loose screen for all, the preset for those that could
    matter.
    """

    preset: Literal["paper", "tight"] = "tight"
    """Tolerances of the last relaxation: those of the paper, or tight ones."""
    screen: bool = True
    """Relax loosely first and finish only structures within screen_window of the best of their [n].
    """
    screen_window_j_m2: NonNegativeFloat = 1.0
    """How far above the best of its [n] a screened structure is still finished."""
    outer_thickness: PositiveFloat = 8.0
    """Height of the held layers at the bottom and of the rigid ones at the top; at least the
    potential's cutoff.
    """
    timeout_s: PositiveFloat = 12.0
    """Processor time that LAMMPS may use for every thousand atoms begun. A structure that needs
    more is tried once more and then recorded as failed. Waiting for a busy processor does not
    count.
    """


class SelectionConfig(Section):
    """Which structures a model learns from."""

    energy_window_j_m2: PositiveFloat = 0.6
    """Above the lowest energy of the same [n]."""
    min_energy_j_m2: float | None = None
    """Absolute window, to withhold low energies on purpose (D9)."""
    max_energy_j_m2: float | None = None
    """The same from above."""
    max_per_n: PositiveInt = 60
    """Unique structures of one [n], lowest energies first."""
    preference_j_m2: PositiveFloat = 0.15
    """Within one [n], training and bootstrapped registries draw a structure with the weight exp(-(E
    - lowest E) / preference).
    """
    retrain_after: PositiveInt = 40
    """Asynchronous mode: new unique structures within the energy window that make a new model worth
    training.
    """

    @model_validator(mode="after")
    def _window_is_open(self) -> "SelectionConfig":
        low, high = self.min_energy_j_m2, self.max_energy_j_m2
        if low is not None and high is not None and low >= high:
            refuse(f"must be less than max_energy_j_m2, {high:g}, got {low:g}", "min_energy_j_m2")
        return self


class BudgetConfig(Section):
    """What the campaign may use; it ends at the first limit."""

    rounds: Annotated[int, Field(gt=0, le=10_000)] = 2
    """Model versions: each is trained, sampled and relaxed."""
    wall_time_s: PositiveFloat | None = None
    """Seconds of work, all sessions together."""
    target_energy_j_m2: float | None = None
    """Stop when a structure at or below this energy is known."""
    plateau_rounds: NonNegativeInt = 0
    """Stop after this many rounds without a lower energy at any [n]; 0 never does."""
    max_quarantined: Fraction = 0.05
    """Stop as failed when a larger share of the tries was set aside because of a bug or of work
    that keeps killing its process.
    """


class CampaignConfig(Section):
    """A whole campaign file."""

    name: str
    """Letters, digits and any of _ . - ; runs/NAME is the run directory."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """All random numbers follow from it."""
    boundary: BoundaryConfig
    potential: PotentialConfig
    voxels: VoxelConfig
    decoder: DecoderConfig = DecoderConfig()
    diffusion: DiffusionConfig = DiffusionConfig()
    network: NetworkConfig = NetworkConfig()
    training: TrainingConfig = TrainingConfig()
    promotion: PromotionConfig = PromotionConfig()
    search: SearchConfig
    sampling: SamplingConfig
    relaxation: RelaxationConfig = RelaxationConfig()
    selection: SelectionConfig = SelectionConfig()
    budget: BudgetConfig = BudgetConfig()

    @field_validator("name")
    @classmethod
    def _fit_for_a_path(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
            refuse(
                "must be letters, digits and any of _ . - only, because folders are called after"
                f" it, got {name!r}"
            )
        return name

    @model_validator(mode="after")
    def _sections_agree(self) -> "CampaignConfig":
        multiple = self.network.patch * 2 ** (self.network.num_levels - 1)
        for axis, size in enumerate(self.voxels.shape):
            if size % multiple:
                why = (
                    f"network.patch {self.network.patch} and network.num_levels"
                    f" {self.network.num_levels}"
                )
                refuse(
                    f"must be multiples of {multiple} for {why}, got {size} along {'xyz'[axis]}",
                    "voxels.shape",
                )
        outer, thinner = self.relaxation.outer_thickness, min(self.boundary.slab_heights)
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
