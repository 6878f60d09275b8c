"""Public amorphous carbon with C K-edge spectra: frames, folds and labels of bond networks.

Source and licence: ``data/README.md`` beside this file.
"""

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from io import BytesIO
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gcd_hpc.experiments.carbon_bonds import bonds

Array = NDArray[np.float64]

DENSITIES = (1.5, 2.0, 2.5, 3.0, 3.5)
"""Nominal densities of the five simulations, g/cm^3; the frames' own are 0.3 % lower."""
OTHER_NORMALISATION = "d2.0_2"
"""Frame whose spectra are normalised differently: not to be used as a target."""
ROUNDS = 4
"""Rounds of refinement of network labels: each atom's label then describes four shells."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One structure of 216 carbon atoms in a periodic cube, with a spectrum of each atom."""

    name: str
    positions: Array  # (N, 3) Å, wrapped
    lengths: Array  # (3,) Å
    spectra: Array  # (N, 100), one arbitrary unit for all frames
    density_g_cm3: float
    paper_split: Literal["train", "test"]
    duplicate_of: str
    """Name of the earlier frame that this one repeats, atoms permuted and shifted; or empty."""

    @property
    def nominal_density(self) -> float:
        """The density of ``DENSITIES`` that the frame belongs to, g/cm^3."""
        return min(DENSITIES, key=lambda density: abs(density - self.density_g_cm3))


@dataclass(frozen=True)
class Fold:
    """Frames to train on and frames to judge by."""

    name: str
    training: tuple[Frame, ...]
    held_out: tuple[Frame, ...]


def load_frames(has_duplicates: bool = False) -> list[Frame]:
    """The frames in the order of their file, by default without those that repeat another."""
    arrays = _arrays("amorphous_carbon.npz")
    frames = [
        Frame(
            name=str(arrays["name"][item]),
            positions=arrays["positions"][item].astype(np.float64),
            lengths=arrays["lengths"][item],
            spectra=arrays["spectra"][item].astype(np.float64),
            density_g_cm3=float(arrays["density"][item]),
            paper_split="test" if arrays["paper_split"][item] == "test" else "train",
            duplicate_of=str(arrays["duplicate_of"][item]),
        )
        for item in range(len(arrays["name"]))
    ]
    return [frame for frame in frames if has_duplicates or not frame.duplicate_of]


def leave_out(density: float) -> Fold:
    """Fold that holds out all frames of a nominal density, without duplicates.

    Only such folds tell how well a model generalises, because the frames of one density are
    snapshots of one simulation.

    Raises:
        ValueError: if there are no frames of this density.
    """
    if density not in DENSITIES:
        raise ValueError(f"expected a density of {DENSITIES} g/cm^3, got {density:g}")
    frames = load_frames()
    return Fold(
        f"without {density:g}",
        tuple(frame for frame in frames if frame.nominal_density != density),
        tuple(frame for frame in frames if frame.nominal_density == density),
    )


def paper_fold() -> Fold:
    """The split as published, duplicates included: 25 training frames and 5 held out.

    It leaks: one held-out frame is a training frame, and others have the bond network of one.
    """
    frames = load_frames(has_duplicates=True)
    return Fold(
        "paper",
        tuple(frame for frame in frames if frame.paper_split == "train"),
        tuple(frame for frame in frames if frame.paper_split == "test"),
    )


def network_labels(positions: Array, lengths: Array, rounds: int = ROUNDS) -> list[str]:
    """Weisfeiler-Lehman label of each atom's surroundings in the bond network, N texts.

    A label starts as the number of bonds; each round it becomes a hash of itself and the sorted
    labels of the bonded atoms. Atoms with equal labels have, up to rare coincidences, the same
    surroundings over as many shells of bonds as there are rounds.
    """
    pairs, _ = bonds(positions, lengths)
    bonded = [pairs[pairs[:, 0] == atom, 1] for atom in range(len(positions))]
    labels = [str(len(partners)) for partners in bonded]
    for _ in range(rounds):
        texts = [
            f"{label}|{','.join(sorted(labels[partner] for partner in partners))}"
            for label, partners in zip(labels, bonded, strict=True)
        ]
        labels = [hashlib.blake2b(text.encode(), digest_size=8).hexdigest() for text in texts]
    return labels


def _arrays(name: str) -> dict[str, NDArray[Any]]:
    content = (files("gcd_hpc.experiments") / "data" / name).read_bytes()
    with np.load(BytesIO(content), allow_pickle=False) as file:
        return {key: file[key] for key in file.files}
