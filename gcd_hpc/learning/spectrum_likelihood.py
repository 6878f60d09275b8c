"""Likelihood of a measured spectrum given atoms: the guidance term of spectra.

The property network predicts the mean spectrum y over the absorbers from noisy positions, and its
calibration the covariance C of the error, so that

    log p(y* | x_t) = -1/2 (y* - y)^T C^-1 (y* - y) - 1/2 log det C.

The groups that can be held out are few and their structures are true ones, so C knows the size of
the error better than its directions. Whitened with C, a generated structure follows directions of
small variance first, in which the network may be wrong. By default C therefore keeps its
mean variance in the leading components of the spectra, alike in all of them, and the rest is left
out: docs/method.md#guidance.

The energy axis of a measurement is known less well than its features are narrow. Its shift is a
nuisance parameter: p is the mean over several shifts, all equally likely beforehand.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from gcd_hpc.errors import CheckpointError, StructureError
from gcd_hpc.learning.property_network import PropertyModel

REFERENCE_ATOMS = 216
"""Absorbers at which an extensive likelihood has its plain value."""


@dataclass(frozen=True)
class SpectrumLikelihood:
    """Likelihood of a target spectrum for a batch of structures in one periodic box.

    The gradient of a mean over N atoms falls as 1 / N, and C does not fall as fast because of the
    part that is common to all atoms: guidance of strength 1 moves the atoms of a large structure
    less. ``extensive`` counts a structure of N absorbers as N / 216 independent ones of 216, which
    gives the same pull on an atom at any size.
    """

    model: PropertyModel
    lengths: Tensor
    """(3,) Å of the box, on the model's device."""
    targets: Tensor
    """(S, K) measured spectrum in the network's unit and channels, one row for each energy shift;
    a target of known energies has one row."""
    target_covariance: Tensor | None = None
    """(K, K) of the measurement; None for an exact target."""
    absorbers: Tensor | None = None
    """(N,) weights of the atoms in the mean; None for all alike."""
    strength: float = 1.0
    extensive: bool = False
    covariance: Literal["isotropic", "full"] = "isotropic"
    """"isotropic" has the mean variance of C in each leading component; "full" is C itself."""

    def __post_init__(self) -> None:
        """Refuse what would be a wrong number later.

        Raises:
            CheckpointError: if the network has no calibration, or is not made for noisy positions.
            StructureError: if the target has other channels than the network.
        """
        card = self.model.card
        if self.model.calibration is None:
            raise CheckpointError(
                f"the network of {card.name} cannot guide, because the covariance of its error was"
                " not measured; train it with groups held out"
            )
        if not self.model.network.config.is_noise_aware:
            raise CheckpointError(
                f"the network of {card.name} cannot guide, because it was trained on clean"
                " positions alone; train it with noise"
            )
        num_channels = len(self.model.network.typical)
        if self.targets.ndim != 2 or self.targets.shape[1] != num_channels:
            raise StructureError(
                f"the target spectrum cannot be compared: expected (shifts, {num_channels}) as the"
                f" network of {card.name} has, got {tuple(self.targets.shape)}; resample it"
            )

    @property
    def estimator(self) -> Literal["noisy"]:
        """The network is trained on x_t itself."""
        return "noisy"

    def log_probability(self, x: Tensor, noise: float) -> Tensor:
        """log p(y* | x_t) up to a constant, (B, N, 3) Å -> (B,); noise is sigma in Å."""
        sigma = torch.full((len(x),), noise, dtype=x.dtype, device=x.device)
        predicted = self.model.mean(x, self.lengths, sigma, self.absorbers)  # (B, K)
        num_absorbers = x.shape[1] if self.absorbers is None else float(self.absorbers.sum())
        error = self.targets.to(predicted.dtype)[:, None] - predicted  # (S, B, K)
        return self._log_density(error, noise, num_absorbers)

    def _log_density(self, error: Tensor, noise: float, num_absorbers: float) -> Tensor:
        """Mean density of errors (S, B, K) over the shifts, as a logarithm (B,)."""
        calibration = self.model.calibration
        assert calibration is not None
        num = REFERENCE_ATOMS if self.extensive else num_absorbers
        covariance = calibration.covariance(noise, num, self.target_covariance).to(error.device)
        flat = error.double().flatten(0, 1).T  # (K, S B)
        if self.covariance == "isotropic":
            leading = calibration.components.to(error.device)  # (K, P)
            flat = leading.T @ flat
            variance = (leading.T @ covariance @ leading).diagonal().mean()
            covariance = variance * torch.eye(len(flat)).to(covariance)
        factor = torch.linalg.cholesky(covariance)
        whitened = torch.linalg.solve_triangular(factor, flat, upper=False)
        squares = whitened.square().sum(dim=0).reshape(error.shape[:2])  # (S, B)
        log_density = -0.5 * squares - factor.diagonal().log().sum()
        mean = torch.logsumexp(log_density, dim=0) - math.log(len(error))
        return mean * (num_absorbers / REFERENCE_ATOMS if self.extensive else 1.0)
