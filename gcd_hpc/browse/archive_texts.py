"""Texts of an archive: what it is, how to check and repeat it, licences, environment, citation."""

import hashlib
import platform
from collections.abc import Sequence
from importlib.metadata import distribution, distributions
from pathlib import Path

from gcd_hpc.browse.tables import UNIT, format_fraction
from gcd_hpc.engines.library import citation_in
from gcd_hpc.store.crystal import boundary_of, unit_crystal
from gcd_hpc.store.provenance import campaign_of
from gcd_hpc.store.run import Run, open_run
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.structures.character import described

PACKAGE = "gcd-hpc"
PAPER = "Grand canonical generative diffusion model for crystalline phases and grain boundaries"
FILES = """\
| file | what it is |
|---|---|
| `results.h5` | every candidate with energies, positions before and after relaxation, and its origin; each dataset has its meaning and unit as attributes |
| `campaign.yaml` | all settings, defaults included, with the seed |
| `potential/` | the potential, and whose work it is (`NOTICE.txt`) |
| `bulk.json` | lattice constant and cohesive energy of the crystal, measured with the potential |
| `events.jsonl` | log of the campaign: what was done when, and what it cost; hosts and process numbers are left out |
| `models/` | weights of the models that made candidates |
| `rescored/`, `phases/` | results of other engines, and what was measured on single phases, with the settings |
| `inputs.json` | hashes of what the results depend on |
| `environment.txt` | versions of all Python packages where the archive was made |
| `read_results.py` | reader of `results.h5` by h5py and numpy alone |
| `SHA256SUMS` | checksums of all other files |

Files that the run did not need are absent.
"""  # noqa: E501
CHECK = """\
## Check it

```
sha256sum -c SHA256SUMS
python read_results.py {results}
python read_results.py {results} ID
```

The reader needs h5py and numpy. It lists [n], grain boundary energy (J/m^2), excess volume (Å) and
id of the lowest structure of each [n], and with an id the atoms of this structure. With gcd-hpc
installed, `gcd-hpc verify {results}` computes every energy again from those of its atoms, and
`gcd-hpc report .` and `gcd-hpc browse .` show the rest: this folder is a run directory.
"""
REPEAT = """\
## Repeat it

With the versions of `environment.txt`, in this folder:

```
LAMMPS_POTENTIALS=potential gcd-hpc campaign campaign.yaml --run-dir ../again
```

The random search and the moves draw from streams of the seed, so that the first candidates are the
same bit for bit on the same processor type, and the results do not depend on the number of workers.
"""
LICENCES = """\
## Licences

`LICENSE` covers gcd-hpc and `read_results.py`. It does not cover the potential: `potential/NOTICE.txt`
says whose work that is. Who publishes this archive says here under which licence the results are.
"""  # noqa: E501


def readme_of_run(folder: Path, selection: str) -> str:
    """README of the archive of one run, from the archive's own files."""
    run = open_run(folder)
    blocks = [
        f"# Grain boundary structures: {_name(run)}",
        _boundary(run),
        _amount(run, selection),
        "## Lowest structure of each [n]",
        _lowest(run),
        "## Files",
        FILES.rstrip(),
        CHECK.format(results=_place(folder, "")).rstrip(),
        REPEAT.rstrip(),
        LICENCES.rstrip(),
    ]
    return "\n\n".join(blocks) + "\n"


def readme_of_set(folder: Path, names: Sequence[str], selection: str) -> str:
    """README of the archive of a set of boundaries, from the archive's own files."""
    lines = [f"| boundary | what it is | candidates | lowest ({UNIT}) |", "|---|---|--:|--:|"]
    for name in names:
        run = open_run(RunDirectory(folder).member(name).path)
        lowest = run.lowest(1).columns(["gb_energy_j_m2"])["gb_energy_j_m2"].tolist()
        energy = f"{lowest[0]:.4f}" if lowest else ""
        lines.append(f"| {name} | {_words(run)} | {len(run):,} | {energy} |")
    title = campaign_of(RunDirectory(folder).config.read_text(encoding="utf-8")).get("name")
    blocks = [
        f"# Grain boundary structures: {title}",
        "One folder in `boundaries/` for each boundary of a set; `campaign.yaml` is of the set.",
        *([f"The archive holds the candidates with `{selection}`."] if selection else []),
        "\n".join(lines),
        "## Files of each boundary",
        FILES.rstrip(),
        CHECK.format(results=_place(folder, names[0])).rstrip(),
        REPEAT.replace("=potential", f"=boundaries/{names[0]}/potential").rstrip(),
        LICENCES.replace("`potential/", "`boundaries/NAME/potential/").rstrip(),
    ]
    return "\n\n".join(blocks) + "\n"


def potential_text(run: RunDirectory) -> str:
    """Note on the files of a run's potential: whose work they are; empty if there are none."""
    files = [path for path in sorted(run.potential.glob("*")) if path.name != "NOTICE.txt"]
    if not files:
        return ""
    lines = [
        "The files in this folder are not a part of gcd-hpc, and its licence does not cover them.",
        "They are the work of those who published the potential; cite their publication.",
        "Before you hand them on, look at the terms of the place that you have them from.",
        "",
    ]
    for path in files:
        lines.append(f"{path.name}")
        lines.append(f"  sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}")
        citation = citation_in(path)
        lines.append(f"  {citation or 'The file names no publication in its first line.'}")
    return "\n".join(lines) + "\n"


def environment_text() -> str:
    """Versions of Python and of all installed packages, one a line, as pip reads them."""
    names = {
        f"{one.metadata['Name']}=={one.version}" for one in distributions() if one.metadata["Name"]
    }
    python = f"# Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    return "\n".join([python, *sorted(names, key=str.lower)]) + "\n"


def licence_text() -> str:
    """Licence of this package."""
    own = distribution(PACKAGE)
    text = own.read_text("licenses/LICENSE") or own.read_text("LICENSE")
    return text or f"{PACKAGE}: {own.metadata['License-Expression']}\n"


def citation_text() -> str:
    """What to cite for the method and the program, as a CITATION.cff."""
    own = distribution(PACKAGE)
    links = dict(line.split(", ", 1) for line in own.metadata.get_all("Project-URL") or ())
    lines = [
        "cff-version: 1.2.0",
        'message: "Cite the publication of these results, of the potential, the program and its'
        ' method."',
        "type: software",
        f"title: {PACKAGE}",
        f"version: {own.version}",
        f"license: {own.metadata['License-Expression']}",
        "authors:",
        f'  - name: "The {PACKAGE} authors"',
    ]
    if "Paper" in links:
        lines += [
            "references:",
            "  - type: article",
            f'    title: "{PAPER}"',
            "    year: 2024",
            f'    url: "{links["Paper"]}"',
            '    authors: [{family-names: Lei, given-names: Bo}, {name: "and others"}]',
        ]
    return "\n".join(lines) + "\n"


def _place(folder: Path, boundary: str) -> str:
    """Path within an archive of the candidates of a run, or of a boundary of a set."""
    run = RunDirectory(folder).member(boundary) if boundary else RunDirectory(folder)
    return run.results.relative_to(folder).as_posix()


def _name(run: Run) -> str:
    return str(campaign_of(run.provenance.get("config", "")).get("name", "a run"))


def _words(run: Run) -> str:
    config = run.provenance.get("config")
    boundary, crystal = boundary_of(config), unit_crystal(config)
    if boundary is None or crystal is None:
        return "a boundary that the file does not name"
    return f"{'-'.join(run.elements)}, {crystal.lattice}, {described(boundary, crystal)}"


def _boundary(run: Run) -> str:
    return f"{_words(run)}."


def _amount(run: Run, selection: str) -> str:
    sources = run.provenance
    kept = f"those with `{selection}` of a run" if selection else "all that the run tried"
    version = sources.get("package_version", "unknown")
    return f"{len(run):,} candidates, {kept}. Seed {sources.get('seed')}, gcd-hpc {version}."


def _lowest(run: Run) -> str:
    lines = [f"| [n] | GB energy ({UNIT}) | excess volume (Å) | id |", "|--:|--:|--:|---|"]
    names = ["n_fraction", "gb_energy_j_m2", "excess_volume_a", "id"]
    for row in run.best_per_n().records(names):
        fraction, energy = format_fraction(row["n_fraction"]), row["gb_energy_j_m2"]
        lines.append(
            f"| {fraction} | {energy:.4f} | {row['excess_volume_a']:.4f} | `{row['id']}` |"
        )
    return "\n".join(lines)
