"""A run directory of a material written by hand, with spectra whose errors are known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk

from gcd_hpc.config.loader import dump, parse_material
from gcd_hpc.engines.quench import box_length
from gcd_hpc.spectra.measured import MeasuredSpectrum
from gcd_hpc.spectra.table import SpectrumTable, texts
from gcd_hpc.spectra.table_file import Labelled, write_labelled
from gcd_hpc.spectra.target import write_target
from gcd_hpc.store.parts import write_part
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.store.schema import Candidate, candidate_id
from gcd_hpc.structures.energetics import closest_pair

ENERGIES_EV = np.linspace(280.0, 300.0, 81)
NUM_LABELLED = 8
CAMPAIGN = """\
name: small_carbon
seed: 5
material: {element: C, num_atoms: 64, density_g_cm3: 2.5}
potential: {pair_style: tersoff, pair_coeff: "* * {file} C", file: SiC.tersoff}
target: {file: target.csv}
quench: {densities_g_cm3: [2.0, 3.0], num_per_density: 2}
sampling: {num_guided: 4, num_unguided: 3, chunk_size: 4}
guidance: [{property: spectrum}]
budget: {rounds: 2}
"""
CHUNK = 4
"""Candidates of a part, sampling.chunk_size."""
POTENTIAL = "ab" * 32


def _shape(centre_ev: float) -> np.ndarray:
    return np.exp(-0.5 * ((ENERGIES_EV - centre_ev) / 1.5) ** 2)


def _normalized(values: np.ndarray) -> np.ndarray:
    return values / np.trapezoid(values, ENERGIES_EV) * np.ptp(ENERGIES_EV)


TARGET = _normalized(1.0 + 2.0 * _shape(285.0) + 1.2 * _shape(292.0))
# The change that an error is: it keeps the mean level.
CHANGE = _shape(285.0) - _shape(292.0)
CHANGE = CHANGE - np.trapezoid(CHANGE, ENERGIES_EV) / np.ptp(ENERGIES_EV)
CHANGE = CHANGE / np.sqrt(np.mean(CHANGE**2))


def carbon(seed: int, density_g_cm3: float = 2.5) -> Atoms:
    """Diamond of 64 atoms, widened to a density and shaken."""
    atoms = bulk("C", "diamond", a=3.567, cubic=True) * (2, 2, 2)
    lengths = 3 * [box_length("C", len(atoms), density_g_cm3)]
    atoms.set_cell(lengths, scale_atoms=True)
    atoms.rattle(0.12, seed=seed)
    return atoms


def material_row(
    source: str, round: int, index: int, density_g_cm3: float = 2.5, **more: object
) -> Candidate:
    """A relaxed structure of a material as the stages write it."""
    atoms = carbon(100 * round + index, density_g_cm3)
    num = len(atoms)
    energies = np.random.default_rng([round, index]).normal(-6.8, 0.3, num)
    before = atoms.positions + 0.05
    row = Candidate(
        candidate_id(source, round, index),
        source,
        round,
        round,
        index,
        5,
        "ok",
        num_atoms=num,
        closest_pair_a=closest_pair(before, atoms.cell.lengths(), (True, True, True)),
        converged=True,
        stop_reason="force tolerance",
        evaluations=90,
        atom_evaluations=90 * num,
        cpu_s=1.5,
        max_force_ev_a=5e-4,
        potential_sha256=POTENTIAL,
        energies_from="atoms",
        cell=atoms.cell.lengths(),
        unrelaxed_positions=before,
        positions=atoms.positions,
        energies_ev=energies,
        numbers=atoms.numbers,
        density_g_cm3=density_g_cm3,
        energy_ev_atom=float(energies.mean()),
    )
    return replace(row, **more)


def _labelled(rows: list[Candidate], errors: list[float], group: str) -> Labelled:
    """Spectra of some atoms, whose mean differs from the target by each row's error."""
    structures, values, places, atoms = [], [], [], []
    for number, (row, error) in enumerate(zip(rows, errors, strict=True)):
        one = Atoms(numbers=row.numbers, positions=row.positions, cell=row.cell, pbc=True)
        one.info["name"] = f"{group}/{row.id}"
        structures.append(one)
        spread = np.linspace(-0.05, 0.05, NUM_LABELLED)
        values += [TARGET + (error + step) * CHANGE for step in spread]
        places += [number] * NUM_LABELLED
        atoms += range(NUM_LABELLED)
    num = len(values)
    table = SpectrumTable(
        structure=np.array(places),
        atom=np.array(atoms),
        values=np.array(values),
        status=texts(["ok"] * num),
        reason=texts([""] * num),
        seconds=np.full(num, 2.0),
        energies_ev=ENERGIES_EV,
        element="C",
        edge="K",
        engine="stand-in",
        version="1",
        settings="{}",
    )
    return Labelled(structures, table)


def _samples(round: int) -> tuple[list[Candidate], list[float]]:
    """Candidates of a round: four guided ones, two unguided ones, and one that failed."""
    errors = [0.05, 0.07, 0.04, 0.06, 0.12, 0.14]
    errors = [error / round for error in errors[:4]] + errors[4:]
    rows = [
        material_row(
            "model",
            round,
            index,
            guided="guided" if index < 4 else "unguided",
            spectrum_error=error,
            spectrum_error_se=0.01,
            predicted_error=0.8 * error,
            num_labelled=NUM_LABELLED,
            model_sha256="cd" * 32,
        )
        for index, error in enumerate(errors)
    ]
    return rows, errors


def write_material_run(folder: Path, name: str = "small_carbon") -> Path:
    """Write the run directory of a campaign of a material after two rounds; return its path."""
    run = RunDirectory(folder / name)
    config = dump(parse_material(CAMPAIGN, "small_carbon.yaml"))
    run.path.mkdir(parents=True)
    run.config.write_text(config)
    run.targets.mkdir()
    write_target(
        run.targets / "target.csv", MeasuredSpectrum(ENERGIES_EV, TARGET, "C", "K", "mine")
    )
    provenance = {"config": config, "seed": "5", "title": "Structures of small_carbon"}
    quenches = [
        material_row("quench", 0, index, density, num_labelled=NUM_LABELLED)
        for index, density in enumerate((2.0, 2.0, 3.0, 3.0))
    ]
    for chunk, (row, error) in enumerate(zip(quenches, [0.2, 0.22, 0.3, 0.28], strict=True)):
        write_part(run.quenched_part(chunk), [row], provenance)
        group = f"{row.density_g_cm3:g} g per cm3"
        write_labelled(run.labelled_part(chunk), _labelled([row], [error], group))
    for round in (1, 2):
        rows, errors = _samples(round)
        failed = replace(
            material_row("model", round, len(rows), guided="unguided"),
            status="failed",
            reason="two atoms are 0.70 Å apart",
            failure="physics",
            energy_ev_atom=float("nan"),
            max_force_ev_a=float("nan"),
            positions=np.empty(0),
            energies_ev=np.empty(0),
        )
        chunks = [(rows[:CHUNK], errors[:CHUNK], []), (rows[CHUNK:], errors[CHUNK:], [failed])]
        for chunk, (sound, known, others) in enumerate(chunks):
            spectra = _labelled(sound, known, f"round {round:02d}")
            write_labelled(run.verified_spectra(round, chunk), spectra)
            write_part(run.relaxed_part(round, chunk), [*sound, *others], provenance)
    return run.path
