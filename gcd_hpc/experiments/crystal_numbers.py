"""Properties of generated crystals: atoms, distances from ideal sites, defects, bond order."""

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gcd_hpc.diffusion.exploding import SamplerKind
from gcd_hpc.experiments.crystal_figures import Curves
from gcd_hpc.experiments.lattice_fit import fit_lattice
from gcd_hpc.experiments.voxel_crystals import BOX, Lattice, crystal_cell
from gcd_hpc.experiments.work import Arrays
from gcd_hpc.structures.analysis import rdf, steinhardt

Array = NDArray[np.float64]

NEIGHBORS: dict[Lattice, int] = {"sc": 6, "bcc": 8, "fcc": 12}
NUM_SHOWN = 10
"""Number of cells in the curves of a figure, as in the paper; the numbers use all cells."""
GOOD_RMSD = 0.02
"""Largest RMSD of a good cell, in lattice constants."""
_REACH = 1.8
"""Range of neighbours and of the RDF, in lattice constants."""
_NUM_BINS = 180


def split(sampled: Arrays) -> list[Array]:
    """Positions of each cell of ``sample_voxels``."""
    return np.split(sampled["positions"], np.cumsum(sampled["num_atoms"])[:-1])


def describe(cells: list[Array], lattice: Lattice) -> dict[str, Any]:
    """Atoms, distances from the best-fitting lattice, defects and bond order; lattice constants.

    "num_recovered" cells have one atom within 0.1 nearest-neighbour distances of every site and no
    other atoms, "num_good" ones also an RMSD below 0.02 a.
    """
    ideal = crystal_cell(lattice)
    fits = [fit_lattice(cell, ideal, BOX) for cell in cells]
    rmsd, worst = np.array([fit.rmsd for fit in fits]), np.array([fit.worst for fit in fits])
    recovered = np.array([fit.num_defects == 0 for fit in fits])
    return {
        "num_exact": sum(len(cell) == len(ideal) for cell in cells),
        "num_recovered": int(recovered.sum()),
        "num_good": int((recovered & (rmsd < GOOD_RMSD)).sum()),
        "num_atoms": {
            str(number): count
            for number, count in sorted(Counter(len(cell) for cell in cells).items())
        },
        "rmsd_a": {"mean": rmsd.mean(), "max": rmsd.max()},
        "worst_atom_a": {"median": np.median(worst), "max": worst.max()},
        "defects_per_cell": {
            "displaced": np.mean([fit.num_displaced for fit in fits]),
            "missing": np.mean([fit.num_missing for fit in fits]),
            "extra": np.mean([fit.num_extra for fit in fits]),
        },
        "q4": bond_order(cells, lattice, 4),
        "q6": bond_order(cells, lattice, 6),
    }


def bond_order(cells: list[Array], lattice: Lattice, order: int) -> dict[str, float]:
    """Mean and standard deviation of the bond order, and the mean's difference from the crystal."""
    values = np.concatenate([order_of(cell, lattice, order) for cell in cells])
    if not len(values):
        return {"mean": np.nan, "std": np.nan, "deviation_percent": np.nan}
    ideal = ideal_order(lattice, order)
    return {
        "mean": float(values.mean()),
        "std": float(values.std()),
        "deviation_percent": float(100 * (values.mean() / ideal - 1)),
    }


def ideal_order(lattice: Lattice, order: int) -> float:
    """Bond order of the ideal crystal."""
    return float(order_of(crystal_cell(lattice), lattice, order).mean())


def order_of(cell: Array, lattice: Lattice, order: int) -> Array:
    """Steinhardt parameter of every atom of a cell, (N,)."""
    return (
        steinhardt(cell, BOX, order, NEIGHBORS[lattice], reach=_REACH) if len(cell) else np.empty(0)
    )


def best_sampler(described: dict[SamplerKind, dict[str, Any]]) -> SamplerKind:
    """Sampler of the particle model that recovers most cells, then leaves fewest empty sites."""
    return max(
        described,
        key=lambda name: (
            described[name]["num_recovered"],
            -described[name]["defects_per_cell"]["missing"],
        ),
    )


def curve(training: Arrays) -> dict[str, Any]:
    """Loss curves of a training, each point a mean over a hundredth of the steps."""
    values = {name: array for name, array in training.items() if name != "core_s"}
    if len(values["loss"]) > 100:
        chunks = np.array_split(values["loss"], 100)
        values |= {
            "loss": np.array([chunk.mean() for chunk in chunks]),
            "steps": np.cumsum([len(chunk) for chunk in chunks]),
        }
    return values


def curves(lattice: Lattice, cells: dict[str, list[Array]], particle: Arrays) -> Curves:
    """RDF and bond order of each model's first cells and the ideal crystal; particle loss."""
    shown = {name: some[:NUM_SHOWN] for name, some in cells.items()} | {
        "ideal": [crystal_cell(lattice)]
    }
    radial, order = {}, {}
    for name, some in shown.items():
        radii = (np.arange(_NUM_BINS) + 0.5) * _REACH / _NUM_BINS
        radial[name] = (
            radii,
            np.mean(
                [rdf(cell, BOX, _REACH, _NUM_BINS)[1] if len(cell) else 0 * radii for cell in some],
                axis=0,
            ),
        )
        order[name] = np.concatenate(
            [
                np.stack([order_of(cell, lattice, 4), order_of(cell, lattice, 6)], axis=1)
                for cell in some
            ]
        )
    return Curves(lattice.upper(), radial, order, (particle["steps"], particle["loss"]))


def typical(cells: list[Array], lattice: Lattice) -> Array:
    """The cell with the median number of defects."""
    fits = [fit_lattice(cell, crystal_cell(lattice), BOX) for cell in cells]
    order = np.argsort([fit.num_defects for fit in fits], kind="stable")
    return cells[int(order[len(order) // 2])]
