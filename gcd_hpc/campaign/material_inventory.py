"""Verification of what only the run of a material has: its samples and the spectra of atoms."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gcd_hpc.config.material import MaterialConfig
from gcd_hpc.errors import StoreError
from gcd_hpc.spectra.table_file import read_labelled
from gcd_hpc.store.checksums import Columns
from gcd_hpc.store.findings import Report
from gcd_hpc.store.materials import GUIDED_ORDER
from gcd_hpc.store.run_directory import RunDirectory, chunk_indices, part_number, parts_in


def expected_samples(run: RunDirectory, config: MaterialConfig) -> Iterator[tuple[Path, list[int]]]:
    """Parts of samples, with the indices that their candidates must have."""
    num, size = config.sampling.num, config.sampling.chunk_size
    for version in run.versions():
        folders = [run.sampled_dir(version), run.settled_part(version, 0).parent]
        for folder in [*folders, run.relaxed_part(version, 0).parent]:
            for path in parts_in(folder):
                yield path, list(chunk_indices(num, size, part_number(path)))


def verify_spectra(run: RunDirectory, report: Report) -> None:
    """Read all files of spectra, whose checksums are compared."""
    folders = [run.labelled_part(0).parent]
    folders += [run.verified_spectra(version, 0).parent for version in run.versions()]
    for path in (path for folder in folders for path in parts_in(folder)):
        report.looked_at("checksums")
        try:
            read_labelled(path)
        except StoreError as error:
            report.found("checksums", "spectra as they were written", error, file=path)


def smallest_errors(columns: Columns) -> dict[int, float]:
    """Smallest spectrum error of the guided and of the unguided samples, by their numbers.

    Args:
        columns: "status", "guided" and "spectrum_error" of rows, (M,).
    """
    known = (columns["status"] == "ok") & np.isfinite(columns["spectrum_error"])
    errors = {
        number: columns["spectrum_error"][known & (columns["guided"] == name)]
        for number, name in enumerate(GUIDED_ORDER)
    }
    return {number: float(each.min()) for number, each in errors.items() if len(each)}
