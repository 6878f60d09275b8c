"""Results of VASP for structures of a run, read back and stored beside the run.

VASP gives the energy of a whole slab. That of its boundary is what remains after the crystal and
both free surfaces, from the references of the export: docs/science.md#surfaces.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms

from gcd_hpc.config.campaign import CampaignConfig
from gcd_hpc.engines.bulk import Bulk
from gcd_hpc.engines.jobs import RelaxResult
from gcd_hpc.engines.relaxation import Relaxed, Slab
from gcd_hpc.engines.surfaces import (
    grain_slab,
    need_of_energies,
    shared_energies,
    surface_energy,
)
from gcd_hpc.errors import SimulationError, StoreError
from gcd_hpc.stages.rescore import (
    Rescored,
    as_failed,
    as_relaxed,
    as_unrelaxed,
    campaign_of_run,
    rescored_file,
    without_extras,
)
from gcd_hpc.store.crystal import crystal_of
from gcd_hpc.store.parts import write_part
from gcd_hpc.store.provenance import campaign_provenance
from gcd_hpc.store.run import Run
from gcd_hpc.store.run_candidate import RunCandidate
from gcd_hpc.store.schema import Candidate
from gcd_hpc.store.vasp import GRAINS, REFERENCES
from gcd_hpc.store.vasp_results import (
    SAME_CELL,
    VaspResult,
    check_settings,
    read_result,
    structure_folders,
)
from gcd_hpc.structures.bicrystal import Bicrystal, Side
from gcd_hpc.structures.periodic import in_plane, wrap

ENGINE = "VASP"
SAME_SITE = 0.05
"""Largest difference in the heights of layers at two surfaces that are cut alike, Å."""
DEPTH = 4.0
"""Depth to which surfaces are compared, Å."""
TIGHT_FORCE = 0.005
"""Largest force of a relaxation that counts as tight, eV/Å, as for ASE calculators."""


@dataclass(frozen=True)
class References:
    """Energies of the folders with references.

    bicrystal: the boundary at their lattice constant.
    crystal_ev: energy per atom of the crystal, eV.
    surfaces: energies per area of the lower and of the upper grain's surface, eV/Å^2.
    sha256: hash of the energies and settings, which takes the place of a potential's.
    """

    bicrystal: Bicrystal
    crystal_ev: float
    surfaces: tuple[float, float]
    sha256: str


def import_vasp(run: Run, folders: Sequence[Path]) -> Rescored:
    """Read the results of VASP in folders of an export; nothing of the run is changed.

    Args:
        folders: the folder of the export, or folders of single structures in it.

    Raises:
        GcdError: if a folder or a reference is not finished, did not converge or belongs to another
            run. A structure that can be no boundary is a failed row.
    """
    config = campaign_of_run(run)
    each = [folder for given in folders for folder in structure_folders(given)]
    roots = {folder.absolute().parent for folder in each}
    if len(roots) > 1:
        names = " and ".join(map(str, sorted(roots)))
        raise StoreError(f"{names} are exports of their own; import one after the other")
    results = [read_result(folder) for folder in each]
    chosen = [_of_run(run, result) for result in results]
    _check_kind(run, config, chosen[0])
    references = _references(roots.pop(), config, chosen[0], results)
    after = [
        _row(config, references, one, result) for one, result in zip(chosen, results, strict=True)
    ]
    path = rescored_file(run.path, f"vasp-{references.sha256[:8]}")
    provenance = campaign_provenance(config, rescored=run.path.absolute().name, engine=ENGINE)
    path.parent.mkdir(exist_ok=True)
    write_part(path, after, provenance)
    return Rescored(ENGINE, path, [without_extras(one) for one in chosen], after)


def _of_run(run: Run, result: VaspResult) -> RunCandidate:
    """The structure of the run of which a folder was made."""
    try:
        one = run[result.id]
    except StoreError:
        raise StoreError(
            f"{result.folder}: {run.path} has no structure {result.id}; name the run that it was"
            " exported from"
        ) from None
    is_same = one.potential_sha256.startswith(result.potential) or result.potential == "?"
    if not is_same or len(one.positions) != len(result.atoms):
        raise StoreError(
            f"{result.folder}: POSCAR was made of another structure than {result.id} of {run.path};"
            " name the run that it was exported from"
        )
    return one


def _check_kind(run: Run, config: CampaignConfig, one: RunCandidate) -> None:
    need = need_of_energies(crystal_of(config.boundary, float(one.cell[0]), one.axial_ratio))
    if need:
        raise StoreError(
            f"{run.path}: VASP gives no energies of single atoms, which {need}; use gcd-hpc rescore"
            " with an engine that gives them"
        )


def _references(
    root: Path, config: CampaignConfig, one: RunCandidate, results: Sequence[VaspResult]
) -> References:
    """Read the references, which must have the lattice constant and settings of the structures."""
    for name in REFERENCES:
        if not (root / name / "POSCAR").is_file():
            raise StoreError(
                f"{root / name}: there is no such folder of inputs, but the energy of a boundary"
                " needs this reference; write it with gcd-hpc export --format vasp and run VASP in"
                " it"
            )
    crystal, *grains = (read_result(root / name) for name in REFERENCES)
    for result in (*grains, *results):
        check_settings(result, crystal)
    crystal_ev = crystal.energy_ev / len(crystal.atoms)
    # All lengths may have been scaled to another lattice constant.
    before = crystal_of(config.boundary, float(one.cell[0]), one.axial_ratio)
    volume = crystal.atoms.get_volume() / len(crystal.atoms)
    scale = float(np.cbrt(volume / before.atomic_volume))
    bicrystal = crystal_of(config.boundary, scale * float(one.cell[0]), one.axial_ratio)
    for result in (*grains, *results):
        _check_cell(result, bicrystal, crystal.folder)
    for side, grain in zip(GRAINS, grains, strict=True):
        if len(grain.atoms) != len(grain_slab(bicrystal, side)):
            raise StoreError(
                f"{grain.folder}: is no slab of the {side} grain of this boundary; write it with"
                " gcd-hpc export --format vasp and run VASP in it"
            )
    lower, upper = (
        surface_energy(one.energy_ev, len(one.atoms), crystal_ev, bicrystal.area) for one in grains
    )
    known = repr((ENGINE, crystal_ev, lower, upper, crystal.settings))
    sha256 = hashlib.sha256(known.encode()).hexdigest()
    return References(bicrystal, crystal_ev, (lower, upper), sha256)


def _check_cell(result: VaspResult, bicrystal: Bicrystal, crystal: Path) -> None:
    own, known = in_plane(result.atoms.cell), np.array(bicrystal.cell)
    if not np.allclose(own, known, rtol=0, atol=SAME_CELL * known.max()):
        raise StoreError(
            f"{result.folder}: the cell is not that of the boundary at the lattice constant of"
            f" {crystal}, {bicrystal.a0:.4f} Å; scale all folders alike, with gcd-hpc export --a0"
        )


def _row(
    config: CampaignConfig, references: References, one: RunCandidate, result: VaspResult
) -> Candidate:
    """The row of one structure, or the reason why it can be no boundary."""
    bicrystal = references.bicrystal
    bulk = Bulk(bicrystal.a0, references.crystal_ev, one.surface_depth_a)
    given = as_unrelaxed(one, references.sha256, bulk, bicrystal)
    scale = bicrystal.cell[0][0] / float(one.cell[0])
    before = _in_box_of(one, scale * one.positions, scale)
    slab = Slab.of(before, bicrystal, bulk, config.relaxation)
    for side in GRAINS:
        _check_surface(side, slab.positions, bicrystal, result.folder)
    after = _in_box_of(one, result.atoms.positions, scale)
    positions = wrap(after.positions, in_plane(after.cell))
    try:
        energies = shared_energies(
            positions,
            result.energy_ev,
            slab.box,
            bicrystal,
            references.crystal_ev,
            references.surfaces,
            slab.fixed | slab.rigid,
        )
        relaxed = _evaluated(slab, result, positions, energies)
    except SimulationError as error:
        return as_failed(given, error)
    return as_relaxed(given, before, relaxed)


def _evaluated(
    slab: Slab, result: VaspResult, positions: np.ndarray, energies: np.ndarray
) -> Relaxed:
    forces = result.atoms.get_forces(apply_constraint=True)
    done = RelaxResult(
        positions=positions,
        energies=energies,
        forces=forces,
        stop_reason="VASP's tolerances",
        evaluations=result.num_steps,
        atom_evaluations=result.num_steps * len(positions),
        seconds=0.0,
        cpu_s=np.nan,
        has_energies=False,
    )
    preset = "tight" if result.max_force <= TIGHT_FORCE else "paper"
    return slab.relaxed([done], {preset: slab.energy(done)}, preset, 0.0)


def _in_box_of(one: RunCandidate, positions: np.ndarray, scale: float) -> Atoms:
    """A slab, (N, 3) Å, in the box of the run's, scaled to VASP's lattice constant.

    The lowest atom, which is held, has the height that it has in the run.
    """
    moved = positions.copy()
    moved[:, 2] += scale * one.positions[:, 2].min() - moved[:, 2].min()
    atoms = one.to_atoms()
    return Atoms(atoms.numbers, moved, cell=atoms.cell * scale, pbc=atoms.pbc)


def _check_surface(side: Side, positions: np.ndarray, bicrystal: Bicrystal, folder: Path) -> None:
    """Refuse a slab whose surface is cut otherwise than that of its reference."""
    sign = 1 if side == "lower" else -1
    reference = np.sort(sign * grain_slab(bicrystal, side)[:, 2])
    own = np.sort(sign * positions[:, 2])
    num = min(len(own), int(np.searchsorted(reference, reference[0] + DEPTH)))
    if np.abs(own[:num] - own[0] - (reference[:num] - reference[0])).max() > SAME_SITE:
        raise StoreError(
            f"{folder}: its {side} surface is not the one whose energy {folder.parent / side}"
            " gives; export structures of a run, whose ends are perfect planes"
        )
