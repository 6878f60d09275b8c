"""Training of an energy model on all relaxed rows of some runs, high energies included.

The part that looks at atoms learns from the structures before relaxation (``atom_training``), the
part that looks at voxels from noisy arrays of the relaxed ones. The energies of the atoms after
relaxation say where the energy lies, so that neither has to find that out from sums alone.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor

from gcd_hpc.config.learning import EnergyModelConfig
from gcd_hpc.errors import StoreError
from gcd_hpc.learning.assembly import known_mask
from gcd_hpc.learning.atom_training import fitted_atoms
from gcd_hpc.learning.batches import fits
from gcd_hpc.learning.boundary import BoundarySystem
from gcd_hpc.learning.energy_network import (
    LEVELS,
    EnergyCard,
    EnergyModel,
    energy_network,
    network_input,
    row_array,
    shown_layers,
)
from gcd_hpc.learning.sources import TrainingSource, augmented
from gcd_hpc.learning.trainer import seeded, trained_along_cosine
from gcd_hpc.networks.energy import EnergyNetwork
from gcd_hpc.networks.precision import one_thread
from gcd_hpc.search.windows import Parent
from gcd_hpc.seeds import ENERGY, generator
from gcd_hpc.store.alloys import excess_energies
from gcd_hpc.store.schema import Candidate
from gcd_hpc.structures.energetics import J_PER_M2
from gcd_hpc.voxels.encoder import occupancies

Report = Callable[[int, int], None]
"""Callback with the number of steps done and their total."""

HELD_OUT_N = 4
"""The rows of one in this many [n] measure the spread."""
NUM_MEASURED = 128
"""Most rows that measure the spread at one noise level."""
NUM_RANKED = 1000
"""Most rows that measure the rank correlation of one boundary."""
LEAST_OF_N = 8
"""Fewest rows of one [n] whose order is compared."""
FIT, MEASURE = 0, 1
"""Keys of random streams."""


@dataclass(frozen=True)
class Sample:
    """One row as the network learns from it."""

    array: Tensor  # (C, X, Y, Z), noisy where not known, in units of the scale
    local: Tensor  # (1, X, Y, Z) J/m^2: excess energies of the atoms, spread over their voxels
    log_snr: float
    energy_j_m2: float


@dataclass(frozen=True)
class EnergyRows:
    """Relaxed rows of some boundaries. scale: divisor of the voxel values."""

    sources: Sequence[TrainingSource]
    config: EnergyModelConfig
    scale: float

    def batch(self, seed: int, step: int) -> tuple[BoundarySystem, list[Sample]]:
        """Samples of one step, of one boundary. Each has a random stream of its own."""
        rng = generator(seed, ENERGY, FIT, step)
        sizes = np.array([len(source.structures) for source in self.sources], dtype=float)
        source = self.sources[int(rng.choice(len(self.sources), p=sizes / sizes.sum()))]
        samples = []
        for slot in range(self.config.batch_size):
            rng = generator(seed, ENERGY, FIT, step, slot)
            row = source.structures[int(rng.integers(len(source.structures)))]
            log_snr = float(rng.uniform(LEVELS[0], LEVELS[-1]))
            samples.append(self.sample(source.system, row, log_snr, rng))
        return source.system, samples

    def sample(
        self,
        system: BoundarySystem,
        row: Candidate,
        log_snr: float,
        rng: np.random.Generator,
    ) -> Sample:
        """A relaxed row, turned and shifted, with noise."""
        species = system.own_numbers(row.numbers)
        parent = Parent(row.positions, np.zeros(len(row.positions)), np.zeros(3), species)
        positions = augmented(parent, system, rng).positions
        clean = row_array(system, row, positions) / self.scale
        noise = torch.from_numpy(rng.standard_normal(clean.shape, dtype=np.float32))
        alpha = 1.0 / math.sqrt(1.0 + math.exp(-2.0 * log_snr))
        noisy = alpha * clean + math.sqrt(1.0 - alpha * alpha) * noise
        known = known_mask(system.grid.shape, system.num_known)
        return Sample(
            torch.where(known, clean, noisy),
            local_energies(system, row, positions).masked_fill(known, 0.0),
            log_snr,
            row.gb_energy_j_m2,
        )


def local_energies(
    system: BoundarySystem, row: Candidate, positions: NDArray[np.float64]
) -> Tensor:
    """Excess energies of a relaxed row's atoms, each in the voxels of one of the positions.

    Args:
        positions: (N, 3) Å, of the same atoms in the same order, turned and shifted.

    Returns:
        (1, X, Y, Z) J/m^2, whose sum is the excess energy of all atoms over the area.
    """
    excess = torch.from_numpy(excess_energies(vars(row)) / row.area_a2 * J_PER_M2)
    voxels, shares = occupancies(torch.from_numpy(positions), system.grid)  # (N, 8) each
    field = torch.zeros(system.grid.num_voxels, dtype=torch.float64)
    field = field.index_add(0, voxels.flatten(), (shares * excess[:, None]).flatten())
    return field.view(1, *system.grid.shape).float()


def usable(rows: Iterable[Candidate], system: BoundarySystem) -> list[Candidate]:
    """Relaxed rows that fit into the voxels."""
    return [row for row in rows if row.status == "ok" and fits(row, system.frame, system.grid)]


def train_energy_model(
    sources: Sequence[TrainingSource],
    config: EnergyModelConfig,
    seed: int,
    report: Report = lambda step, num_steps: None,
) -> EnergyModel:
    """Train an energy model on all rows, with a spread that was measured on rows held out.

    First networks learn without one in HELD_OUT_N of the [n]; their errors on these rows are the
    measure. The networks that are kept learn from all rows.

    Args:
        sources: all rows of each boundary, those of ``usable``.

    Raises:
        StoreError: if a boundary has no rows, or if they are of several potentials.
        TrainingError: if a loss or a gradient is not finite.
    """
    rows = energy_rows(sources, config)
    learned, held = without_some_n(sources)
    num_trial = config.num_steps + config.atoms.num_steps
    trial = fitted_model(
        replace(rows, sources=learned), seed, lambda step, _: report(step, 2 * num_trial)
    )
    spread = measured_spread(trial, replace(rows, sources=held), seed)
    correlation = rank_correlation(trial, held)
    kept = fitted_model(rows, seed, lambda step, _: report(num_trial + step, 2 * num_trial))
    card = replace(kept.card, spread=spread, rank_correlation=correlation)
    return replace(kept, card=card)


def fitted_model(
    rows: EnergyRows, seed: int, report: Report = lambda step, num_steps: None
) -> EnergyModel:
    """Model that has learned from rows, with the voxel network's own spread.

    Raises:
        TrainingError: if a loss or a gradient is not finite.
    """
    config = rows.config
    total = config.num_steps + config.atoms.num_steps
    atoms = fitted_atoms(rows.sources, config.atoms, seed, lambda step, _: report(step, total))
    voxels = fitted(rows, seed, lambda step, _: report(config.atoms.num_steps + step, total))
    return EnergyModel(voxels, energy_card(rows, seed), atoms)


def energy_rows(sources: Sequence[TrainingSource], config: EnergyModelConfig) -> EnergyRows:
    """Rows with the scale of their voxels.

    Raises:
        StoreError: if a boundary has no rows, or if they are of several potentials.
    """
    for source in sources:
        if not source.structures:
            raise StoreError(
                f"{source.name}: holds no relaxed structure that fits into its voxels; search"
                " longer, or leave this run out"
            )
    if len({source.system.potential.sha256 for source in sources}) != 1:
        names = ", ".join(source.name for source in sources)
        raise StoreError(
            f"one energy model cannot learn from {names}, because their energies are of several"
            " potentials; train a model for each"
        )
    system, rows = sources[0].system, sources[0].structures
    few = [row_array(system, row, row.positions) for row in rows[:: 1 + len(rows) // 32]]
    return EnergyRows(sources, config, float(torch.stack(few).std()))


def energy_card(rows: EnergyRows, seed: int) -> EnergyCard:
    """Card of a model of these rows, with the network's own spread."""
    system = rows.sources[0].system
    return EnergyCard(
        rows.config,
        system.channels.symbols,
        rows.scale,
        system.potential.sha256,
        tuple(source.name for source in rows.sources),
        sum(len(source.structures) for source in rows.sources),
        seed,
    )


def without_some_n(
    sources: Sequence[TrainingSource],
) -> tuple[list[TrainingSource], list[TrainingSource]]:
    """Rows to learn from, and rows held out: those of every fourth [n], from the second on.

    Of a boundary with a single [n], every fourth row is held out.
    """
    learned: list[TrainingSource] = []
    held: list[TrainingSource] = []
    for source in sources:
        rows = source.structures
        places = {n: place for place, n in enumerate(sorted({row.n_index for row in rows}))}
        numbers = [places[row.n_index] for row in rows] if len(places) > 1 else range(len(rows))
        for part, is_held in ((learned, False), (held, True)):
            chosen = [
                row
                for row, number in zip(rows, numbers, strict=True)
                if (number % HELD_OUT_N == 1) == is_held
            ]
            part += [replace(source, structures=chosen)] if chosen else []
    return learned or list(sources), held or list(sources)


def fitted(
    rows: EnergyRows, seed: int, report: Report = lambda step, num_steps: None
) -> EnergyNetwork:
    """Voxel network that has learned from rows: the moving average of its weights.

    It is trained with one thread, so that the bits are the same on any machine of one kind.
    """
    config = rows.config
    num_channels = len(rows.sources[0].system.channels)
    network = seeded(lambda: energy_network(config, num_channels), seed)
    system, samples = rows.batch(seed, 0)
    energies = torch.tensor([one.energy_j_m2 for one in samples])
    with one_thread():
        network.measure(*network_batch(system, samples, config), energies)
    optimizer = torch.optim.AdamW(
        network.parameters(), config.learning_rate, (0.9, 0.99), weight_decay=config.weight_decay
    )

    def losses(step: int) -> list[Callable[[], Tensor]]:
        return [lambda: energy_loss(network, *rows.batch(seed, step), config)]

    weights = trained_along_cosine(network, optimizer, losses, config, report)
    network.load_state_dict(weights)
    return network.eval()


def energy_loss(
    network: EnergyNetwork,
    system: BoundarySystem,
    samples: Sequence[Sample],
    config: EnergyModelConfig,
) -> Tensor:
    """Negative log-likelihood of the energies, and squared error of the contributions.

    The likelihood of a row is weighted by its spread. Without that, rows of large spread would
    hardly be learned, because the gradient of their mean is divided by their variance.

    Source: Seitzer et al. (2022), arXiv 2203.09168, with beta = 1/2.
    """
    energies = torch.tensor([one.energy_j_m2 for one in samples])
    mean, log_variance, contributions = network(*network_batch(system, samples, config))
    loss = 0.5 * ((energies - mean).square() * torch.exp(-log_variance) + log_variance)
    total = (loss * torch.exp(0.5 * log_variance.detach())).mean()
    local = torch.stack([one.local for one in samples])
    local = network.pooled(shown_layers(local, system.num_known, config))
    weighted: Tensor = total + config.local_weight * (contributions - local).square().mean()
    return weighted


def network_batch(
    system: BoundarySystem, samples: Sequence[Sample], config: EnergyModelConfig
) -> tuple[Tensor, Tensor, Tensor]:
    """Samples as arguments of the network."""
    arrays = torch.stack([one.array for one in samples])
    known = known_mask(system.grid.shape, system.num_known)
    x, counted = network_input(arrays, known, system.num_known, config)
    return x, torch.tensor([one.log_snr for one in samples]), counted


@torch.no_grad()
def measured_spread(model: EnergyModel, rows: EnergyRows, seed: int) -> tuple[float, ...]:
    """Root mean square of the errors over the voxel network's own spread, at LEVELS."""
    num = max(LEAST_OF_N, NUM_MEASURED // len(rows.sources))
    factors = []
    for level, log_snr in enumerate(LEVELS):
        rng = generator(seed, ENERGY, MEASURE, level)
        errors = []
        for source in rows.sources:
            system = source.system
            known = known_mask(system.grid.shape, system.num_known)
            for index in rng.permutation(len(source.structures))[:num]:
                row = source.structures[int(index)]
                array = rows.sample(system, row, log_snr, rng).array
                at = torch.tensor([log_snr])
                mean, spread = model(array[None], at, known, system.num_known)
                errors.append(float((row.gb_energy_j_m2 - mean) / spread))
        factors.append(float(np.sqrt(np.mean(np.square(errors)))))
    return tuple(factors)


def rank_correlation(model: EnergyModel, sources: Sequence[TrainingSource]) -> float | None:
    """``within_n`` of the estimates and the relaxed energies, the mean over the boundaries.

    None where no [n] has rows enough.
    """
    found = []
    for source in sources:
        rows = source.structures[:: 1 + len(source.structures) // NUM_RANKED]
        means = np.array([model.estimate(source.system, row) for row in rows])
        energies = np.array([row.gb_energy_j_m2 for row in rows])
        found.append(within_n(means, energies, np.array([row.n_index for row in rows])))
    known = [one for one in found if math.isfinite(one)]
    return float(np.mean(known)) if known else None


def within_n(
    estimates: NDArray[np.float64], energies: NDArray[np.float64], n_index: NDArray[np.integer]
) -> float:
    """Spearman's rank correlation within each [n], the mean weighted by the numbers of rows.

    An [n] with fewer than LEAST_OF_N rows, or with equal values only, is left out; NaN if none is
    left.

    Args:
        estimates, energies, n_index: (M,) each; rows without an estimate are left out.
    """
    found, weights = [], []
    for n in np.unique(n_index):
        rows = (n_index == n) & np.isfinite(estimates)
        if rows.sum() < LEAST_OF_N or not (np.ptp(energies[rows]) and np.ptp(estimates[rows])):
            continue
        pair = rankdata(estimates[rows]), rankdata(energies[rows])
        found.append(float(np.corrcoef(*pair)[0, 1]))
        weights.append(int(rows.sum()))
    return float(np.average(found, weights=weights)) if found else math.nan
