"""Writer of docs/schema.md: ``python -m gcd_hpc.store.schema_page > docs/schema.md``."""

from gcd_hpc.store.checksums import ROW_CHECKSUM
from gcd_hpc.store.field import Field
from gcd_hpc.store.hdf5 import START
from gcd_hpc.store.schema import FIELDS, SCHEMA_VERSION

INTRODUCTION = f"""# The HDF5 schema

Version {SCHEMA_VERSION}. This page is made from the table in `gcd_hpc/store/schema.py`, from which
files are also written, read and checked: `python -m gcd_hpc.store.schema_page > docs/schema.md`.

Part files (`RUN/parts/...`), training sets (`RUN/models/NN/training.h5`), the file that a campaign
leaves (`RUN/results.h5`) and what `gcd-hpc merge` writes all have this one layout:

```text
/                 attributes: where the file comes from
├── structures/   one row a candidate
├── atoms/        the atoms of all candidates, one after the other
├── plot/         links: boundary energy against [n], for NeXus readers
└── runs/         only in a file merged from several runs: the config of each as attributes
```

Candidate `i` has the atoms `start[i]` to `start[i] + num_atoms[i]` of every dataset in `atoms/`.
Text is UTF-8; a number that is not known is NaN; `bool` is HDF5's enumeration of FALSE and TRUE.
Atoms are compressed by gzip in chunks. Rows are not: beside the atoms of real structures their
numbers take 2 % of a file, and a column is read in one piece.

Fields are added with a new version and never reinterpreted. A file of an older version is read with
the defaults of the fields it lacks.
"""

ATTRIBUTES = """## Attributes

Of the file:

| attribute | since | meaning |
|---|---|---|
| `schema_version` | 1 | version of this schema |
| `config` | 1 | the resolved campaign file as YAML: boundary, potential, every option |
| `package_version`, `git_commit` | 1 | the gcd-hpc that wrote the file |
| `title`, `creator`, `schema` | 3 | what it is, who wrote it, and how to read it |
| `seed` | 3 | seed of the campaign, from which every candidate's random stream follows |
| `NX_class`, `default` | 3 | NeXus: the way to the default plot |
| `crc32` | 4 | CRC-32 of the other attributes; readers refuse a file where it does not fit |

Of a dataset:

| attribute | since | meaning |
|---|---|---|
| `units` | 3 | unit; `1` for pure numbers, empty for text. Versions 1 and 2 call it `unit` |
| `long_name` | 3 | title and unit, for the axis of a plot |
| `meaning` | 1 | as in the table above |
| `labels` | 3 | the only values of a text that has a fixed set of them |
| `crc32` | 1 | CRC-32 of the numbers in memory; of text, of the UTF-8 strings, each with a NUL |

Of a group `runs/NAME` of a merged file: `config`, `package_version`, `git_commit` and the other
attributes of that run's files, and `num_read` and `num_kept`, its candidates before and after
duplicates were dropped; and their `crc32`.

`structures/crc32` is what a single row is verified by when nothing else of a large file is read: of
the bytes of its numbers, of its texts, each with a NUL, and of its atoms in `atoms/`, each in the
order of the table.
"""

READING = """## Reading it without gcd-hpc

With nothing but `h5py`, in a folder with a `results.h5`:

```python
import h5py

file = h5py.File("results.h5")
rows, atoms = file["structures"], file["atoms"]

# What is in it
print(file.attrs["schema"])
for name, data in rows.items():
    print(name, data.shape, data.attrs["units"], data.attrs["meaning"])

# The lowest boundary energy
energies = rows["gb_energy_j_m2"][:]
lowest = min(range(len(energies)), key=lambda i: (energies[i] != energies[i], energies[i]))
print(rows["id"].asstr()[lowest], energies[lowest], rows["n_fraction"][lowest])

# Its atoms
first = rows["start"][lowest]
positions = atoms["positions"][first : first + rows["num_atoms"][lowest]]
cell = rows["cell"][lowest]

# All ids whose status is ok
print(rows["id"].asstr()[:][rows["status"].asstr()[:] == "ok"])
```

The energy follows from what is stored with it (1 eV is 1.602176634e-19 J, 1 Å^2 is 1e-20 m^2):

```python
heights = positions[:, 2]
depth, bulk = rows["surface_depth_a"][lowest], rows["cohesive_ev"][lowest]
inside = (heights > heights.min() + depth) & (heights < heights.max() - depth)
excess_ev = atoms["energies_ev"][first : first + len(positions)][inside] - bulk
energy = excess_ev.sum() / rows["area_a2"][lowest] * 16.02176634
assert abs(energy - rows["strain_energy_j_m2"][lowest] - energies[lowest]) < 1e-6
```

HDFView, `h5dump` and h5web (VS Code, JupyterLab, myhdf5.hdfgroup.org) open the file as it is; those
that know NeXus show the boundary energies against [n] at once.
"""

INDEX = """## The index

Of a run of many parts, readers keep the rows of all parts in one file in the user's cache folder
(`$XDG_CACHE_HOME/gcd-hpc`, else `~/.cache/gcd-hpc`): reading writes nothing into a run. It can be
deleted at any time and is made again; programs of your own should read `results.h5` or the parts.
Earlier versions left it in the run as `index.h5`, which nothing reads any more.
"""


def schema_page() -> str:
    """The whole page in Markdown."""
    return "\n".join([INTRODUCTION, "## Datasets\n", schema_table(), ATTRIBUTES, READING, INDEX])


def schema_table() -> str:
    """Markdown table of all datasets, one line each."""
    lines = ["| dataset | type | shape | unit | since | meaning |", "|---|---|---|---|---|---|"]
    return "\n".join(lines + [_line(field) for field in (*FIELDS, START, ROW_CHECKSUM)]) + "\n"


def _line(field: Field) -> str:
    length = "sum of num_atoms" if field.per_atom else "candidates"
    shape = ", ".join([length, *map(str, field.shape)])
    kind = {"text": "string", "int": "int64", "float": "float64", "bool": "bool"}[field.kind]
    labels = ", ".join(f"`{label}`" if label else "nothing" for label in field.labels)
    values = f"; one of {labels}" if labels else ""
    return (
        f"| `{field.path}` | {kind} | ({shape}) | {field.unit} | {field.since} |"
        f" {field.meaning}{values} |"
    )


if __name__ == "__main__":
    print(schema_page(), end="")
