"""The best structures of a run, relaxed with another engine and stored beside the run."""

import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from ase import Atoms

from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.config.loader import parse_campaign
from gcd_hpc.engines.bulk import Bulk
from gcd_hpc.engines.child import Child
from gcd_hpc.engines.engine import Engine
from gcd_hpc.engines.relaxation import Relaxed, relax_boundary
from gcd_hpc.errors import GcdError, SimulationError, StoreError, StructureError
from gcd_hpc.learning.boundary import BoundarySystem
from gcd_hpc.learning.candidates import element_energies, element_fields
from gcd_hpc.stages.evaluate import fitted, scaled
from gcd_hpc.stages.relaxing import relaxed_fields
from gcd_hpc.store.parts import write_part
from gcd_hpc.store.provenance import campaign_provenance
from gcd_hpc.store.run import Run
from gcd_hpc.store.run_candidate import RunCandidate
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.schema import Candidate
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.energetics import closest_pair
from gcd_hpc.structures.periodic import edges_and_tilt


@dataclass(frozen=True)
class Rescored:
    """Structures of a run and what another engine makes of them, in the same order.

    path: file with the new rows, which every command reads like a file of results.
    """

    engine: str
    path: Path
    before: list[Candidate]
    after: list[Candidate]


def best_candidates(run: Run, num: int, per_n: bool) -> list[RunCandidate]:
    """The ``num`` relaxed structures of lowest energy: of each [n], or of the run.

    Raises:
        StoreError: if nothing was relaxed yet.
    """
    found = list(run.lowest(num, per_n))
    if not found:
        raise StoreError(f"{run.path}: there is no relaxed structure to rescore yet")
    return found


def campaign_of_run(run: Run) -> CampaignConfig:
    """Campaign of a run.

    Raises:
        StoreError: if its files do not name one.
        ConfigError: if it cannot be read.
    """
    text = run.provenance.get("config", "")
    if not text:
        raise StoreError(f"{run.path}: its files name no campaign; rescore the run that made them")
    return parse_campaign(text, f"{run.path}: config")


def rescore(
    run: Run,
    chosen: list[RunCandidate],
    config: CampaignConfig,
    folder: Path,
    progress: Callable[[Candidate], None] = lambda row: None,
) -> Rescored:
    """Relax structures with another engine; nothing of the run is changed.

    Args:
        config: the run's campaign with the other engine.
        folder: where the files of this engine are looked for.
        progress: called with each new row.

    Raises:
        GcdError: if the engine cannot be used; a structure that cannot be relaxed is a failed row.
    """
    system = BoundarySystem.build(config, folder)
    with Child(system.potential, config.relaxation.timeout_s) as child:
        after = []
        for one in chosen:
            after.append(_rescored(system, child, one))
            progress(after[-1])
    path = rescored_file(run.path, name_of(system.potential))
    provenance = campaign_provenance(
        config, rescored=run.path.absolute().name, engine=str(system.potential)
    )
    path.parent.mkdir(exist_ok=True)
    write_part(path, after, provenance)
    return Rescored(str(system.potential), path, [without_extras(one) for one in chosen], after)


def rescored_file(run: Path, name: str) -> Path:
    """File of the rows that an engine makes of a run directory or of one file."""
    if run.is_dir():
        return RunDirectory(run).rescored(name)
    return run.with_name(f"{run.stem}-rescored-{name}.h5")


def name_of(potential: Engine) -> str:
    """Name of an engine for a file: what it is called, and the beginning of its hash."""
    word = re.sub(r"[^A-Za-z0-9]+", "-", str(potential).split(";")[0]).strip("-")
    return f"{word.removeprefix('ASE-calculator-')}-{potential.sha256[:8]}"


def _rescored(system: BoundarySystem, child: Child, one: RunCandidate) -> Candidate:
    """One structure as the engine relaxes it, or the reason why it could not."""
    given = as_unrelaxed(one, system.potential.sha256, system.bulk, system.bicrystal)
    try:
        slab = fitted(system, one.id, scaled(one.to_atoms(), system))
        relaxed = relax_boundary(
            child, slab.atoms, system.bicrystal, system.bulk, system.config.relaxation
        )
    except (SimulationError, StructureError) as error:
        return as_failed(given, error)
    row = as_relaxed(given, slab.atoms, relaxed)
    return replace(row, **element_fields(system.bicrystal, slab.atoms.numbers))


def as_failed(given: Candidate, error: GcdError) -> Candidate:
    """The row of a structure that an engine could not relax."""
    return replace(given, status="failed", failure="physics", reason=str(error))


def as_relaxed(given: Candidate, atoms: Atoms, relaxed: Relaxed) -> Candidate:
    """The row of a structure as an engine relaxed it.

    Args:
        given: the row as ``as_unrelaxed`` makes it.
        atoms: the slab before the relaxation.
    """
    edges, tilt = edges_and_tilt(atoms.cell)
    return replace(
        given,
        status="ok",
        num_atoms=len(relaxed.positions),
        numbers=atoms.numbers,
        unrelaxed_positions=atoms.positions,
        cell=edges,
        tilt_a=tilt,
        closest_pair_a=closest_pair(atoms.positions, atoms.cell),
        relax_s=relaxed.seconds,
        cpu_s=relaxed.cpu_s,
        **relaxed_fields(relaxed),
    )


def as_unrelaxed(
    one: RunCandidate, potential_sha256: str, bulk: Bulk, bicrystal: Bicrystal
) -> Candidate:
    """The row with what another engine's crystal is, and without the results of the first one."""
    none = np.full_like(one.positions, np.nan)
    return replace(
        without_extras(one),
        potential_sha256=potential_sha256,
        cohesive_ev=bulk.cohesive_ev,
        element_energies_ev=element_energies(bulk),
        area_a2=bicrystal.area,
        surface_depth_a=bulk.reach,
        atoms_per_plane=bicrystal.atoms_per_plane,
        screen_gb_energy_j_m2=np.nan,
        score_gb_energy_j_m2=np.nan,
        registry=np.full(3, np.nan),
        registry_relaxed=np.full(3, np.nan),
        gb_energy_j_m2=np.nan,
        composition_energy_j_m2=0.0,
        rich_gb_energy_j_m2=np.nan,
        poor_gb_energy_j_m2=np.nan,
        excess_volume_a=np.nan,
        max_force_ev_a=np.nan,
        positions=none,
        energies_ev=none[:, 0],
        preset="",
        energies_from="",
        converged=False,
    )


def without_extras(one: RunCandidate) -> Candidate:
    """The row without what ``Run`` adds to it."""
    return Candidate(**{field.name: getattr(one, field.name) for field in fields(Candidate)})
