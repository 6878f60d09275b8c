"""Order of relaxation for sampled candidates: lowest estimated energy first."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from gcd_hpc.engines.child import Child
from gcd_hpc.engines.relaxation import SCREEN, Slab
from gcd_hpc.errors import SimulationError
from gcd_hpc.learning.boundary import BoundarySystem
from gcd_hpc.learning.candidates import known_columns, unrelaxed_atoms
from gcd_hpc.stages.quarantine import NOT_THE_CANDIDATES_FAULT
from gcd_hpc.stages.result import Scored
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.schema import Candidate
from gcd_hpc.structures.energetics import lowest_energies, lowest_nearby

SCORE_MINIMIZER = replace(SCREEN, max_evaluations=20)
"""Minimiser for scores: the first evaluations of the screen, a seventh of a relaxation's cost.

Scores have a rank correlation of 0.8 with the relaxed energy.
"""


def with_score(system: BoundarySystem, child: Child, candidate: Candidate) -> Candidate:
    """The candidate with its score; without one if it is invalid or cannot be evaluated."""
    if candidate.status != "sampled":
        return candidate
    try:
        slab = Slab.of(
            unrelaxed_atoms(system, candidate),
            system.bicrystal,
            system.bulk,
            system.config.relaxation,
        )
        score = slab.energy(child.relax(slab.job(SCORE_MINIMIZER, slab.positions, None)))
    except SimulationError:
        return candidate
    except NOT_THE_CANDIDATES_FAULT:
        raise
    except Exception as error:  # relaxation meets the error again and sets the candidate aside
        print(f"{candidate.id}: no score: {error!r}", flush=True)
        return candidate
    return replace(candidate, score_gb_energy_j_m2=score)


def lowest_learned(run_dir: Path, version: int) -> dict[int, float]:
    """Lowest boundary energy of each n_index that was known before round ``version``, J/m^2."""
    columns = known_columns(RunDirectory(run_dir), version, ["n_index", "gb_energy_j_m2"])
    return lowest_energies(columns["n_index"], columns["gb_energy_j_m2"])


def batches_of(
    candidates: Sequence[Candidate], lowest: Mapping[int, float], num_batches: int
) -> list[list[Candidate]]:
    """Divide the candidates of a chunk into relaxation batches, most promising first.

    Each is in exactly one batch. They are ranked by the height of their score above the lowest
    energy known for their [n]; unscored ones follow, and invalid ones are in the last batch. Within
    a batch they are ordered by index.
    """

    def rank(candidate: Candidate) -> tuple[bool, float, int]:
        score = candidate.score_gb_energy_j_m2
        if not math.isfinite(score):
            return True, 0.0, candidate.index
        known = lowest_nearby(lowest, candidate.n_index, candidate.atoms_per_plane)
        # Where nothing is known, the score itself ranks.
        height = score if math.isnan(known) else score - known
        return False, height, candidate.index

    size = -(-len(candidates) // num_batches)
    valid = sorted(
        (candidate for candidate in candidates if candidate.status == "sampled"), key=rank
    )
    batches = [valid[number * size : (number + 1) * size] for number in range(num_batches)]
    batches[-1] += [candidate for candidate in candidates if candidate.status != "sampled"]
    return [sorted(batch, key=lambda candidate: candidate.index) for batch in batches]


def queue_entries(batches: Sequence[Sequence[Candidate]]) -> tuple[tuple[Scored, ...], ...]:
    """Pairs (n_index, score) of each batch for the driver's queue, unscored candidates left out."""
    return tuple(
        tuple(
            (row.n_index, round(row.score_gb_energy_j_m2, 4))
            for row in batch
            if np.isfinite(row.score_gb_energy_j_m2)
        )
        for batch in batches
    )
