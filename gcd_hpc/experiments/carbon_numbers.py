"""Properties of generated carbon: bonds, angles, g(r), energies and defects."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gcd_hpc.experiments.carbon_bonds import (
    bond_angles,
    coordination_shares,
    is_tetrahedral,
    on_diamond_sites,
)
from gcd_hpc.experiments.carbon_budget import NUM_ATOMS, CarbonBudget, Case, Form
from gcd_hpc.experiments.carbon_figures import Sample
from gcd_hpc.experiments.work import Arrays
from gcd_hpc.learning.particles import Lengths, ParticleConfig
from gcd_hpc.structures import analysis

Array = NDArray[np.float64]

_SETTINGS = ("cutoff", "max_sigma", "width", "num_layers", "num_steps", "batch_size")

RDF_START, RDF_BIN = 1.0, 0.05
"""Distance from which g(r) are compared, and width of their bins, Å."""


def mean_rdf(structures: Array, lengths: Lengths) -> tuple[Array, Array]:
    """Bin centres (Å) and mean g(r) of structures (M, N, 3), out to half the box."""
    r_max = RDF_BIN * int(min(lengths) / 2 / RDF_BIN)
    return analysis.mean_rdf(structures, lengths, r_max, round(r_max / RDF_BIN))


def rdf_difference(one: tuple[Array, Array], other: tuple[Array, Array]) -> float:
    """Root mean square difference of two g(r) on the same bins, from 1 Å on."""
    beyond = one[0] > RDF_START
    return float(np.sqrt(np.square(one[1] - other[1])[beyond].mean()))


def frame_to_frame(structures: Array, lengths: Lengths) -> float:
    """Mean difference of the g(r) of two structures among M, the scale of thermal differences."""
    single = [mean_rdf(positions[None], lengths) for positions in structures]
    pairs = [rdf_difference(one, other) for one, other in combinations(single, 2)]
    return float(np.mean(pairs)) if pairs else np.nan


def glass_numbers(
    glass: Array, energies: Array, budget: CarbonBudget, lengths: Lengths, cohesive: float
) -> dict[str, Any]:
    """Bonds, energies and g(r) of the quenched glass, for training and held-out structures."""
    training, held_out = glass[: budget.num_training], glass[budget.num_training :]
    reference = mean_rdf(held_out, lengths)
    return {
        "num_atoms": NUM_ATOMS,
        "density_g_cm3": budget.programme.density_g_cm3,
        "num_training": len(training),
        "num_held_out": len(held_out),
        "energy_above_diamond_ev": _mean_and_spread(energies - cohesive),
        "training": _structure_numbers(training, lengths),
        "held_out": _structure_numbers(held_out, lengths),
        "first_peak": _first_peak(reference),
        "rdf_frame_to_frame": frame_to_frame(held_out, lengths),
        "rdf_training_to_held_out": rdf_difference(mean_rdf(training, lengths), reference),
        "rdf_ideal_gas_to_held_out": rdf_difference(
            (reference[0], np.ones_like(reference[1])), reference
        ),
    }


def training_numbers(config: ParticleConfig, result: Arrays) -> dict[str, Any]:
    """Settings and loss curves of one training."""
    return {
        **{name: getattr(config, name) for name in ("network", *_SETTINGS)},
        **{
            name: result[name].round(4).tolist()
            for name in ("steps", "loss", "validation_t", "validation_loss")
        },
    }


def case_numbers(
    case: Case,
    positions: Array,
    after: Arrays,
    lengths: Lengths,
    a0: float,
    cohesive: float,
    reference: tuple[Array, Array],
) -> dict[str, Any]:
    numbers: dict[str, Any] = {
        "start_sigma": case.sigma,
        "num_structures": len(positions),
        "generated": _structure_numbers(positions, lengths),
        "relaxed": _structure_numbers(after["positions"], lengths),
        "num_refused_by_lammps": int(np.isnan(after["relaxed_ev"]).sum()),
        "energy_above_diamond_ev": _mean_and_spread(after["raw_ev"] - cohesive),
        "relaxed_energy_above_diamond_ev": _mean_and_spread(after["relaxed_ev"] - cohesive),
    }
    if case.form == "amorphous":
        generated = mean_rdf(positions, lengths)
        return numbers | {
            "rdf_to_held_out": rdf_difference(generated, reference),
            "first_peak": _first_peak(generated),
        }
    on_sites = np.array(
        [on_diamond_sites(structure, np.array(lengths), a0).mean() for structure in positions]
    )
    return numbers | {
        "share_on_sites": _mean_and_spread(on_sites),
        "num_perfect": int((on_sites == 1.0).sum()),
    }


def _structure_numbers(structures: Array, lengths: Lengths) -> dict[str, Any]:
    """Means of bonds and angles over structures, with standard deviations between structures."""
    box = np.array(lengths)
    shares = coordination_shares(structures, box)
    angles = np.concatenate(
        [angle for positions in structures for angle in bond_angles(positions, box)]
    )
    return {
        "coordination": {
            str(bonded): float(share) for bonded, share in enumerate(shares.mean(axis=0))
        },
        "sp2": _mean_and_spread(shares[:, 3]),
        "sp3": _mean_and_spread(shares[:, 4]),
        "tetrahedral": _mean_and_spread(
            np.array([is_tetrahedral(positions, box).mean() for positions in structures])
        ),
        "angle_mean_deg": float(angles.mean()) if len(angles) else None,
        "angle_spread_deg": float(angles.std()) if len(angles) else None,
    }


def _mean_and_spread(values: Array) -> dict[str, float]:
    """Mean and sample standard deviation over the structures that have a value."""
    known = values[np.isfinite(values)]
    return {
        "mean": float(known.mean()) if len(known) else np.nan,
        "std": float(known.std(ddof=1)) if len(known) > 1 else np.nan,
    }


def _first_peak(curve: tuple[Array, Array]) -> dict[str, float]:
    r, g = curve
    highest = int(np.argmax(g))
    return {"r": float(r[highest]), "g": float(g[highest])}


def samples(
    budget: CarbonBudget, held_out: Array, lengths: dict[Form, Lengths], sampled: Sequence[Array]
) -> list[Sample]:
    """Samples of the figure: the held-out glass, then every case."""
    box = lengths["amorphous"]
    samples = [
        Sample(
            "melt-quench, held out",
            "amorphous",
            None,
            held_out,
            np.array(box),
            *mean_rdf(held_out, box),
        )
    ]
    for case, positions in zip(budget.cases, sampled, strict=True):
        box = lengths[case.form]
        start = "random start" if case.sigma is None else f"start noise {case.sigma} Å"
        samples.append(
            Sample(
                f"{case.form}, {start}",
                case.form,
                case.sigma,
                positions,
                np.array(box),
                *mean_rdf(positions, box),
            )
        )
    return samples
