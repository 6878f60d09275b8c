"""Comparison of a run's merged file, results.h5, with its part files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gcd_hpc.errors import StoreError
from gcd_hpc.store.candidate_file import reading
from gcd_hpc.store.checksums import checksum
from gcd_hpc.store.findings import Report
from gcd_hpc.store.schema import FIELDS


def verify_results(path: Path, parts: Sequence[Path], report: Report) -> None:
    """Compare the column checksums of results.h5 with those of all parts in their order."""
    sums, num_rows = {field.name: 0 for field in FIELDS}, 0
    try:
        for part in parts:
            with reading(part) as file:
                num_rows += file.num_rows
                for name, values in file.columns(sums).items():
                    sums[name] = checksum(values, sums[name])
        with reading(path) as file:
            report.looked_at("results")
            if file.num_rows != num_rows:
                report.found(
                    "results",
                    f"the {num_rows} candidates of {len(parts)} parts",
                    file.num_rows,
                    file=path,
                )
                return
            for field in FIELDS:
                if field.since <= file.version and file.hdf5[field.path].attrs["crc32"] != np.int64(
                    sums[field.name]
                ):
                    report.found(
                        "results",
                        "what the parts hold",
                        "something else",
                        file=path,
                        field=field.path,
                    )
    except StoreError as error:
        report.skipped("results", f"{path} was not compared: {error}")
