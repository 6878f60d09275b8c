"""What is learned: voxels, decoder, diffusion, network, training, promotion, sampling, and which
structures a model learns from.
"""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from gcd_hpc.config.section import (
    Auto,
    Depth,
    Fraction,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Section,
    refuse,
)

Solver = Literal["dpm-solver-3", "dpm-solver++2m"]
EVALUATIONS_PER_STEP: dict[Solver, int] = {"dpm-solver-3": 3, "dpm-solver++2m": 1}
"""Network evaluations of a step of each solver."""
MOSAIC_CELLS = ((2, 1), (1, 2), (2, 2))
"""In-plane cells of mosaics, in cells of the campaign along x and y."""
NumVoxels = Annotated[int, Field(ge=3, le=10_000)]


class VoxelConfig(Section):
    """The voxel grid. Voxels are as high as they are wide on average, so that the height of the box
    follows from the number of voxels along z.
    """

    shape: tuple[NumVoxels, NumVoxels, NumVoxels] | Auto = "auto"
    """Number of voxels along x, y and z. auto makes them about 0.32 nearest-neighbour distances
    wide in every boundary, and as many layers as the slabs need: docs/science.md#auto.
    """
    known: PositiveInt | Auto = "auto"
    """Voxel layers at each end that hold perfect grain and stay fixed during in-painting. auto
    leaves the middle 12 Å to be generated where shape is auto, and is 18 where shape is given.
    """
    scale: PositiveFloat | Auto = "auto"
    """Divisor of the voxel values before they enter the network (paper: 0.02). auto is their
    standard deviation in the training set, for it is not the paper's: docs/science.md#scale.
    """

    @model_validator(mode="after")
    def _something_is_left_to_generate(self) -> "VoxelConfig":
        known = self.given_known
        if self.shape != "auto" and known != "auto" and 2 * known >= self.shape[2]:
            refuse(
                f"must be less than half of the {self.shape[2]} layers of shape, got {known}",
                "known",
            )
        return self

    @property
    def given_known(self) -> int | Auto:
        """Known layers, or auto where they follow from the slabs."""
        return 18 if self.known == "auto" and self.shape != "auto" else self.known


class DecoderConfig(Section):
    """From voxels to atoms: by exact moments, or by the paper's learned decoder."""

    kind: Literal["moment", "learned"] = "moment"
    """moment computes positions from the moments of the voxels and needs no training. learned is a
    network that is trained once, beside the first model.
    """
    num_features: PositiveInt = 64
    """Number of channels of the learned decoder."""
    threshold: Fraction = 0.05
    """Occupancy above which a voxel belongs to an atom (paper: p_thre)."""
    max_noise: NonNegativeFloat = 0.1
    """Largest standard deviation of the noise that the learned decoder is trained to remove."""
    cluster_distance: PositiveFloat = 0.45
    """Positions closer than this many nearest-neighbour distances are merged into one atom."""
    num_steps: PositiveInt = 1500
    """Number of training steps of the learned decoder."""
    batch_size: PositiveInt = 4
    """Voxel arrays in one training step of the learned decoder."""
    learning_rate: PositiveFloat = 6e-3
    """Peak learning rate of the learned decoder, whose schedule has one cycle."""


class DiffusionConfig(Section):
    """The variance-preserving diffusion process and what the network predicts."""

    schedule: Literal["linear", "cosine"] = "cosine"
    """Noise schedule: how the noise grows with time."""
    prediction: Literal["epsilon", "v"] = "v"
    """Output of the network: the noise epsilon, or the velocity v."""
    inpainting: Literal["palette", "repaint"] = "palette"
    """How the known layers are given to the network. With palette they are an input from training
    on. With repaint they are imposed during sampling only.
    """
    conditional: bool = True
    """Condition the network on (E_gb, [n]), so that sampling can ask for values of both."""
    condition_dropout: Fraction = 0.15
    """Share of training samples whose condition is hidden from the network."""


class NetworkConfig(Section):
    """The 3D U-Net, with periodic padding in the boundary plane and zero padding along z."""

    width: PositiveInt = 32
    """Number of channels of the first level. Each further level has twice as many."""
    num_levels: Annotated[int, Field(gt=0, le=10)] = 2
    """Number of resolution levels, each half as fine as the one before. The voxels along z must be
    a multiple of patch * 2**(num_levels - 1). Along x and y, other numbers are repeated until they
    are one, which costs more.
    """
    num_blocks: Depth = 3
    """Number of residual blocks of each level."""
    patch: Literal[1, 2] = 2
    """2 folds 2 x 2 x 2 voxels into channels first, which takes an eighth of the cost."""
    context: PositiveInt | None = None
    """Known voxel layers on either side of the generated ones that the network is shown. Perfect
    crystal further away says nothing new, but costs as much. All of them when it is not given.
    """

    @property
    def voxel_multiple(self) -> int:
        """Number that the voxels along z must be divisible by."""
        return int(self.patch * 2 ** (self.num_levels - 1))


class TrainingConfig(Section):
    """Training of the network with AdamW. The loss is that of the generated region."""

    num_steps: PositiveInt = 2500
    """Number of training steps of the first model."""
    retrain_steps: PositiveInt = 1500
    """Number of steps of each later model, which starts from the weights of the one before."""
    batch_size: PositiveInt = 4
    """Structures in one step, over all processes."""
    learning_rate: PositiveFloat = 6e-4
    """Peak learning rate, reached after a short warm-up."""
    min_learning_rate: PositiveFloat = 1e-5
    """Learning rate at the end of the schedule, at most learning_rate."""
    learning_rate_schedule: Literal["cosine", "plateau"] = "cosine"
    """cosine decays to min_learning_rate. plateau halves the rate when the validation loss stops
    falling, as the paper does.
    """
    weight_decay: NonNegativeFloat = 2e-5
    """Weight decay of AdamW."""
    ema_decay: Fraction = 0.995
    """Decay of the moving average of the weights, which sampling uses. Must be less than 1."""
    symmetry: bool = True
    """Augment the structures with the symmetry operations of the bicrystal. Random shifts are
    always on.
    """
    windows: Fraction = 0.5
    """Share of samples of which a random window is generated, as by the moves of explore, and all
    else is known. Of the others all between the known layers is generated. repaint, which shows the
    network no known voxels, has no use for windows.
    """
    mosaics: Fraction = 0.0
    """Share of steps whose samples are 2 x 1, 1 x 2 or 2 x 2 structures of equal registry side by
    side, for a model that is to change structures in cells larger than the campaign's. Such a step
    costs as much as 2.7 others: docs/science.md#windows.
    """
    validation_share: Fraction = 0.05
    """Share of the structures that is held out for validation. Must be less than 1."""
    checkpoint_every: PositiveInt = 250
    """Number of steps between two checkpoints, each with a validation."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number format of the network. auto is bfloat16 where the processor or GPU has it. float32 is
    never rounded to TF32 on a GPU.
    """
    compile: bool | Auto = "auto"
    """Whether torch compiles the network, which takes about a minute. auto does so on a GPU for
    4000 steps and more, which are likely to save that time.
    """

    @property
    def mean_cells(self) -> float:
        """Mean number of the campaign's cells in one sample, to which the cost is proportional."""
        mean = sum(x * y for x, y in MOSAIC_CELLS) / len(MOSAIC_CELLS)
        return 1 + self.mosaics * (mean - 1)

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


class LearningConfig(Section):
    """How a model of many boundaries learns: the sections of a campaign file that say so."""

    voxels: VoxelConfig = VoxelConfig()
    network: NetworkConfig = NetworkConfig()
    diffusion: DiffusionConfig = DiffusionConfig()
    training: TrainingConfig = TrainingConfig()


class AtomicConfig(Section):
    """The part of the energy model that ranks structures before relaxation, by their atoms."""

    width: PositiveInt = 128
    """Width of the three hidden layers."""
    num_steps: PositiveInt = 12000
    """Number of training steps. A second network, which measures the order, takes as many."""
    batch_size: PositiveInt = 32
    """Structures in one step."""
    learning_rate: PositiveFloat = 2e-3
    """Peak learning rate, reached after a short warm-up."""
    weight_decay: NonNegativeFloat = 1e-2
    """Weight decay of AdamW."""
    ema_decay: Fraction = 0.99
    """Decay of the moving average of the weights, which is kept. Must be less than 1."""
    outlier_j_m2: PositiveFloat = 0.3
    """Error of an energy beyond which the loss grows linearly: the highest structures have energies
    of their own.
    """
    local_weight: NonNegativeFloat = 0.2
    """Weight of the error of single atoms, which are compared with their energies after relaxation.
    0 learns from the sums only.
    """


class EnergyModelConfig(Section):
    """The energy model, which tells the relaxed energy of a structure before it is relaxed: by its
    atoms, and during generation by its noisy voxels.
    """

    atoms: AtomicConfig = AtomicConfig()
    """The part that looks at atoms. All else is about the part that looks at voxels."""
    network: NetworkConfig = NetworkConfig(width=16, num_blocks=2, context=10)
    """The way down of a U-Net, whose contributions are summed."""
    num_steps: PositiveInt = 1500
    """Number of training steps. A second network, which measures the spread, takes as many."""
    batch_size: PositiveInt = 16
    """Structures in one step."""
    learning_rate: PositiveFloat = 2e-3
    """Peak learning rate, reached after a short warm-up."""
    weight_decay: NonNegativeFloat = 1e-3
    """Weight decay of AdamW."""
    ema_decay: Fraction = 0.995
    """Decay of the moving average of the weights, which is kept. Must be less than 1."""
    local_weight: NonNegativeFloat = 1.0
    """Weight of the error of single contributions, which are compared with the energies of the
    atoms after relaxation. 0 learns from the sums only.
    """


class PromotionConfig(Section):
    """When a new model replaces the one before: neither its loss on held-out structures nor its
    canaries, candidates of fixed seeds, may be worse.
    """

    num_canaries: NonNegativeInt = 16
    """Number of canaries, which are relaxed loosely. With 0 every model is promoted."""
    max_loss_ratio: PositiveFloat = 1.1
    """Largest loss on held-out structures, relative to that of the old model on them."""
    max_energy_rise_j_m2: NonNegativeFloat = 0.15
    """How far the median energy of the canaries may lie above that of the old model. The median of
    a dozen canaries scatters by itself.
    """
    max_invalid_rise: Fraction = 0.25
    """How far the share of invalid or failed canaries may lie above that of the old model."""


class SamplingConfig(Section):
    """In-painting of the boundary region with a trained model."""

    num_candidates: NonNegativeInt
    """Number of candidates of each round. With 0 the model only makes moves of exploration."""
    solver: Solver = "dpm-solver++2m"
    """Solver of the reverse process, of third or of second order."""
    num_steps: PositiveInt = 30
    """Solver steps. Each takes three network evaluations with dpm-solver-3, one otherwise."""
    resamples: PositiveInt = 5
    """How often repaint repeats each step, adding noise in between. palette takes it once."""
    guidance: NonNegativeFloat = 1.0
    """Weight of a conditional model's condition (E_gb, [n]), by classifier-free guidance. 0 ignores
    the condition, and 1 follows it. Measured properties have a section of their own, guidance.
    """
    energy_margin_j_m2: float = 0.1
    """The energy asked for lies this much below the lowest one known for the same [n]."""
    chunk_size: PositiveInt = 50
    """Candidates of one task, which writes one part file."""
    batch_size: PositiveInt = 10
    """Candidates that pass through the network together."""
    min_pair_distance: Fraction = 0.35
    """Shortest distance between two decoded atoms, in nearest-neighbour distances. Relaxation
    pushes atoms apart that are a little too close.
    """
    bootstrap_share: Fraction = 0.0
    """Share of candidates whose registry is that of a relaxed training structure with a random
    shift. The others draw their registry uniformly.
    """
    registry_jitter: NonNegativeFloat = 0.2
    """Standard deviation of that random shift along each axis."""
    relax_batch: PositiveInt = 8
    """Asynchronous mode: candidates of one relaxation task. The candidates of a chunk are ranked by
    their score first.
    """
    max_model_lag: NonNegativeInt = 1
    """Asynchronous mode: candidates that wait for relaxation are dropped when their model is more
    than this many versions behind.
    """


class SelectionConfig(Section):
    """Which structures a model learns from."""

    energy_window_j_m2: PositiveFloat = 0.6
    """Height of the energy window above the lowest energy of the same [n]."""
    min_energy_j_m2: float | None = None
    """Lower end of an absolute energy window, which withholds low energies on purpose."""
    max_energy_j_m2: float | None = None
    """Upper end of the absolute energy window, see min_energy_j_m2."""
    max_per_n: PositiveInt = 60
    """Largest number of unique structures of one [n]. Those of lowest energy are taken."""
    preference_j_m2: PositiveFloat = 0.15
    """Preference for low energies: within one [n] a structure is drawn with the weight
    exp(-(E - lowest E) / preference), for training and for its registry.
    """
    retrain_after: PositiveInt = 40
    """Asynchronous mode: number of new unique structures within the energy window after which a new
    model is trained.
    """

    @model_validator(mode="after")
    def _window_is_open(self) -> "SelectionConfig":
        low, high = self.min_energy_j_m2, self.max_energy_j_m2
        if low is not None and high is not None and low >= high:
            refuse(f"must be less than max_energy_j_m2, {high:g}, got {low:g}", "min_energy_j_m2")
        return self
