"""Whether what a run directory holds beside its parts agrees with them: the index and the merged
file.
"""

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from gcd_hpc.errors import StoreError
from gcd_hpc.store.catalogue import Catalogue
from gcd_hpc.store.findings import Report
from gcd_hpc.store.hdf5 import checksum, num_rows_of, read_columns_of, reading
from gcd_hpc.store.schema import FIELDS, ROW_FIELDS, SCHEMA_VERSION

REMEDY = "delete it, it is made again"


def verify_index(path: Path, report: Report) -> None:
    """RUN/index.h5: its links, and its columns if it is of this version; an older one is made again
    by whoever reads next.
    """
    report.looked_at("index")
    try:
        with h5py.File(path, "r", locking=False) as file:
            for name in file["parts"]:
                target = file["parts"].get(name, getlink=True).filename
                if not (path.parent / target).is_file():
                    report.found(
                        "index",
                        f"a link to a file that is there ({REMEDY})",
                        target,
                        file=path,
                        field=f"parts/{name}",
                    )
            if file.attrs.get("schema_version") == SCHEMA_VERSION:
                index = Catalogue(file)
                for field in ROW_FIELDS:
                    index.column(field.name, slice(None))
    except (
        StoreError,
        OSError,
        KeyError,
        ValueError,
        RuntimeError,
        TypeError,
        AttributeError,
        IndexError,
    ) as error:
        report.found("index", f"a whole index ({REMEDY})", str(error).splitlines()[0], file=path)


def verify_results(path: Path, parts: Sequence[Path], report: Report) -> None:
    """RUN/results.h5 against the parts, column by column, by their checksums."""
    sums, num_rows = {field.name: 0 for field in FIELDS}, 0
    try:
        for part in parts:
            with reading(part) as file:
                num_rows += num_rows_of(file)
                for name, values in read_columns_of(file, sums).items():
                    sums[name] = checksum(values, sums[name])
        with reading(path) as file:
            report.looked_at("results")
            if num_rows_of(file) != num_rows:
                report.found(
                    "results",
                    f"the {num_rows} candidates of {len(parts)} parts",
                    num_rows_of(file),
                    file=path,
                )
                return
            version = file.attrs["schema_version"]
            for field in FIELDS:
                if field.since <= version and file[field.path].attrs["crc32"] != np.int64(
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
