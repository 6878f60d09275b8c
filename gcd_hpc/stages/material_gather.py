"""What the particle model of a round learns from: first structures and selected candidates."""

from math import isfinite

from gcd_hpc.config.material import MaterialSelectionConfig
from gcd_hpc.errors import StoreError
from gcd_hpc.learning.material import load_material_system
from gcd_hpc.stages.record import begin
from gcd_hpc.stages.result import StageResult
from gcd_hpc.stages.table import Task
from gcd_hpc.store.parts import read_part
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.schema import Candidate


def gather(run_dir: str, round: int, chunk: int) -> StageResult:
    """Write the training set of the particle model of a round.

    The property network needs no file of its own: it learns from all spectra of earlier stages,
    selected or not, because a selection by the error would bias what it learns.

    Args:
        chunk: not used; it is there because all stages of a material have the same arguments.

    Raises:
        StoreError: if no first structure could be relaxed.
    """
    begun = begin(Task("gather", round))
    system, run = load_material_system(run_dir), RunDirectory(run_dir)
    tried = [row for part in run.quenched_parts() for row in read_part(part)]
    first = [row for row in tried if row.status == "ok"]
    if not first:
        reason = tried[0].reason if tried else "there are none"
        raise StoreError(
            f"{run_dir}: no first structure could be relaxed, so that there is nothing to learn"
            f" from ({reason}); mend that in the campaign file and choose another --run-dir"
        )
    verified = [
        row
        for earlier in range(1, round)
        for part in run.relaxed_parts(earlier)
        for row in read_part(part)
    ]
    lowest = min(row.energy_ev_atom for row in first)
    rows = first + selected(verified, system.config.selection, lowest)
    result = StageResult(num=len(rows), ok=len(rows), seconds=begun.seconds())
    return begun.write(run.training_set(round), rows, system.config, result)


def selected(
    rows: list[Candidate], selection: MaterialSelectionConfig, lowest_ev_atom: float
) -> list[Candidate]:
    """Candidates of smallest spectrum error within the energy window, best first.

    Args:
        lowest_ev_atom: lowest energy of the first structures, eV an atom, above which the window
            lies. Above that of the candidates, a particle model that makes poor structures would
            learn from them: docs/spectra.md#measured.
    """
    sound = [row for row in rows if row.status == "ok" and isfinite(row.spectrum_error)]
    highest = lowest_ev_atom + selection.max_energy_ev_atom
    ordered = sorted(
        (row for row in sound if row.energy_ev_atom <= highest),
        key=lambda row: (row.spectrum_error, row.id),
    )
    return ordered[: selection.num_candidates]
