"""From unrelaxed structures to rows with energies, failures included: shared by the seed search and the relaxation of candidates."""

import functools
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from gcd_hpc.errors import SimulationError
from gcd_hpc.simulation.child import Anneal, LammpsChild
from gcd_hpc.simulation.relaxation import relax_boundary
from gcd_hpc.stages.setting import Setting, load_setting
from gcd_hpc.store.schema import Candidate


@functools.cache
def worker_child(run_dir: str) -> LammpsChild:
    """The LAMMPS process of this worker, kept over all its chunks; it ends with the worker."""
    setting = load_setting(run_dir)
    return LammpsChild(setting.potential, setting.config.relaxation.timeout_s)


class Worth:
    """Which screened structures deserve the preset: those not far above the lowest energy known for their [n].

    Args:
        lowest: known beforehand, [n] -> J/m^2.
    """

    def __init__(self, window_j_m2: float, lowest: Mapping[float, float]) -> None:
        self.window_j_m2, self.lowest = window_j_m2, {round(fraction, 6): energy for fraction, energy in lowest.items()}

    def __call__(self, fraction: float, energy_j_m2: float) -> bool:
        return energy_j_m2 <= self.lowest.get(round(fraction, 6), np.inf) + self.window_j_m2

    def learn(self, fraction: float, energy_j_m2: float) -> None:
        """Take a relaxed structure into account for those that follow in the chunk."""
        key = round(fraction, 6)
        self.lowest[key] = min(self.lowest.get(key, np.inf), energy_j_m2)


def relax_candidate(setting: Setting, child: LammpsChild, candidate: Candidate, worth: Worth, anneal: Anneal | None = None) -> Candidate:
    """The candidate with its relaxed positions and energies, or as failed with the reason."""
    started = time.perf_counter()
    atoms = setting.frame.atoms(candidate.unrelaxed_positions)
    finish = worth if setting.config.relaxation.screen else True
    try:
        relaxed = relax_boundary(child, atoms, setting.bicrystal, setting.bulk, setting.config.relaxation, finish, anneal)
    except SimulationError as error:
        return replace(candidate, status="failed", reason=str(error), relax_s=time.perf_counter() - started)
    worth.learn(relaxed.n_fraction, relaxed.gb_energy_j_m2)
    return replace(
        candidate,
        status="ok",
        registry_relaxed=setting.frame.reduced(np.asarray(candidate.registry) + relaxed.shift),
        n_fraction=relaxed.n_fraction,
        gb_energy_j_m2=relaxed.gb_energy_j_m2,
        screen_gb_energy_j_m2=relaxed.screen_gb_energy_j_m2,
        excess_volume_a=relaxed.excess_volume,
        preset=relaxed.preset,
        converged=relaxed.converged,
        stop_reason=relaxed.stop_reason,
        evaluations=relaxed.evaluations,
        max_force_ev_a=relaxed.max_force,
        relax_s=time.perf_counter() - started,
        positions=relaxed.positions,
        energies_ev=relaxed.energies,
    )


def chunk_report(candidates: Iterable[Candidate], seconds: float) -> dict[str, Any]:
    """What the driver needs to know of a finished chunk."""
    rows = list(candidates)
    counts = Counter(row.status for row in rows)
    best: dict[str, float] = {}
    for row in rows:
        if row.status == "ok":
            key = f"{row.n_fraction:.6g}"
            best[key] = min(best.get(key, np.inf), row.gb_energy_j_m2)
    outcome = {status: counts[status] for status in ("ok", "failed", "invalid")}
    return {"num": len(rows), **outcome, "seconds": seconds, "best": best}
