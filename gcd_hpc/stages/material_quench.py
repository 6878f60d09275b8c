"""The first structures of a material: melt-quenches, and given structures after relaxation."""

from functools import partial
from pathlib import Path

import numpy as np

from gcd_hpc.config.material import QuenchConfig
from gcd_hpc.engines.child import LammpsChild
from gcd_hpc.engines.jobs import QuenchResult
from gcd_hpc.engines.quench import MeltQuench, box_length, melt_quench, relax_periodic
from gcd_hpc.learning.material import MaterialSystem, load_material_system
from gcd_hpc.seeds import MATERIAL, generator
from gcd_hpc.stages.material_rows import material_child, relaxed_row, rows_result
from gcd_hpc.stages.record import begin
from gcd_hpc.stages.result import StageResult
from gcd_hpc.stages.table import Task
from gcd_hpc.store.run_directory import RunDirectory, chunk_indices
from gcd_hpc.store.schema import Candidate

QUENCHED, LABELLED, VERIFIED = range(3)
"""Purposes of the random streams of a material's stages; the key is (MATERIAL, purpose, ...)."""


def quench(run_dir: str, round: int, chunk: int) -> StageResult:
    """Make and relax the structures of one chunk and write its part file.

    Args:
        round: 0; it is there because all stages of a material have the same arguments.
    """
    begun = begin(Task("quench", round, chunk))
    system = load_material_system(run_dir)
    child = material_child(system)
    num_quenched = system.num_quenched_chunks
    if chunk < num_quenched:
        section = system.config.quench
        assert section is not None
        indices = chunk_indices(section.num, section.chunk_size, chunk)
        rows = [_quenched(system, child, section, index, Path(run_dir)) for index in indices]
    else:
        indices = given_indices(system, chunk)
        rows = [_given(system, child, index, Path(run_dir)) for index in indices]
    path = RunDirectory(run_dir).quenched_part(chunk)
    return begun.write(path, rows, system.config, rows_result(rows, begun.seconds()))


def given_indices(system: MaterialSystem, chunk: int) -> range:
    """Numbers of the given structures of a chunk, every num_tasks-th one."""
    assert system.config.structures is not None
    first = chunk - system.num_quenched_chunks
    return range(first, len(system.given), system.config.structures.num_tasks)


def density_of(section: QuenchConfig, index: int) -> float:
    """Density of a quench, g/cm^3."""
    return section.densities_g_cm3[index // section.num_per_density]


def group_of(system: MaterialSystem, row: Candidate) -> str:
    """Group of a first structure: its nominal density, or what the file of given ones states.

    The error of a property network is measured on whole groups that it has not learned.
    """
    if row.source == "given":
        return str(system.given[row.index].info.get("group") or row.id)
    assert system.config.quench is not None
    return f"{density_of(system.config.quench, row.index):g} g per cm3"


def _quenched(
    system: MaterialSystem, child: LammpsChild, section: QuenchConfig, index: int, run_dir: Path
) -> Candidate:
    material = system.config.material
    programme = MeltQuench(
        density_of(section, index),
        section.liquid_k,
        section.final_k,
        section.liquid_steps,
        section.quench_steps,
        section.hold_steps,
        section.timestep_ps,
    )
    length = box_length(material.element, material.num_atoms, programme.density_g_cm3)
    unknown = np.full((material.num_atoms, 3), np.nan)
    row = system.row("quench", 0, index, unknown, (length,) * 3)
    rng = generator(system.config.seed, MATERIAL, QUENCHED, index)

    def melt() -> QuenchResult:
        return melt_quench(child, material.num_atoms, programme, rng, system.minimizer)

    return relaxed_row(system, row, run_dir, melt)


def _given(system: MaterialSystem, child: LammpsChild, index: int, run_dir: Path) -> Candidate:
    atoms = system.given[index]
    lengths = atoms.cell.lengths()
    row = system.row("given", 0, index, atoms.positions, lengths.tolist())
    relax = partial(relax_periodic, child, atoms.positions, lengths, system.minimizer)
    return relaxed_row(system, row, run_dir, relax)
