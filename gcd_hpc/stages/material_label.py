"""Spectra of chosen atoms of a material's first structures, from which its networks learn."""

from gcd_hpc.learning.material import load_material_system
from gcd_hpc.seeds import MATERIAL, generator
from gcd_hpc.spectra.label import label as compute
from gcd_hpc.spectra.table_file import Labelled
from gcd_hpc.stages.material_quench import LABELLED, group_of
from gcd_hpc.stages.record import begin
from gcd_hpc.stages.result import StageResult
from gcd_hpc.stages.table import Task
from gcd_hpc.store.parts import read_part
from gcd_hpc.store.run_directory import RunDirectory


def label(run_dir: str, round: int, chunk: int) -> StageResult:
    """Compute spectra of atoms of one chunk of structures, and write their table with its record.

    A kill loses the atom at work: finished ones are kept beside the table until it is written.
    An atom that fails is a row of the table with its reason.

    Args:
        round: 0, as in ``quench``.
    """
    begun = begin(Task("label", round, chunk))
    system, run = load_material_system(run_dir), RunDirectory(run_dir)
    rows = [row for row in read_part(run.quenched_part(chunk)) if row.status == "ok"]
    structures = [
        system.atoms(row, row.positions, f"{group_of(system, row)}/{row.id}") for row in rows
    ]
    seed = int(generator(system.config.seed, MATERIAL, LABELLED, chunk).integers(2**31))
    num = system.config.labelling.atoms_per_structure * len(rows)

    def entries(labelled: Labelled) -> dict[str, str]:
        return begun.attribute(_result(labelled, begun.seconds()))

    made = compute(
        structures,
        run.labelled_part(chunk),
        system.choice,
        num,
        seed,
        places=None if rows else [],
        entries=entries,
    )
    return _result(made, begun.seconds())


def _result(labelled: Labelled, seconds: float) -> StageResult:
    """Result of a table: numbers of its atoms."""
    table = labelled.table
    num_ok = int(table.is_ok.sum())
    return StageResult(num=len(table), ok=num_ok, failed=len(table) - num_ok, seconds=seconds)
