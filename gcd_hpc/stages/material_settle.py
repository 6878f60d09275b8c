"""Relaxation of a material's samples, and whether they are sound afterwards."""

from functools import partial
from pathlib import Path

import numpy as np

from gcd_hpc.engines.quench import relax_periodic
from gcd_hpc.learning.material import load_material_system
from gcd_hpc.stages.material_rows import material_child, relaxed_row, rows_result
from gcd_hpc.stages.record import begin
from gcd_hpc.stages.result import StageResult
from gcd_hpc.stages.table import Task
from gcd_hpc.store.parts import read_part
from gcd_hpc.store.run_directory import RunDirectory


def settle(run_dir: str, round: int, chunk: int) -> StageResult:
    """Relax the samples of one chunk; what fails keeps its reason."""
    begun = begin(Task("settle", round, chunk))
    system, run = load_material_system(run_dir), RunDirectory(run_dir)
    child = material_child(system)
    rows = []
    for row in read_part(run.sampled_part(round, chunk)):
        positions, lengths = row.unrelaxed_positions, np.asarray(row.cell)
        relax = partial(relax_periodic, child, positions, lengths, system.minimizer)
        rows.append(relaxed_row(system, row, Path(run_dir), relax))
    path = run.settled_part(round, chunk)
    return begun.write(path, rows, system.config, rows_result(rows, begun.seconds()))
