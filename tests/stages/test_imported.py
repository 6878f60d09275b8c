"""Results of VASP read back; EMT plays VASP, so that energies of single atoms tell what is right.

Two structures of a copper boundary, relaxed by EMT, are exported, relaxed in their folders, and
imported.
"""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from gcd_hpc.cli import app
from gcd_hpc.config.campaign import BoundaryConfig
from gcd_hpc.config.loader import parse_campaign
from gcd_hpc.engines.bulk import measure_bulk
from gcd_hpc.engines.child import Child
from gcd_hpc.engines.relaxation import relax_boundary
from gcd_hpc.engines.resolve import find_engine
from gcd_hpc.errors import GcdError
from gcd_hpc.learning.boundary import BoundarySystem
from gcd_hpc.search.tries import search_start
from gcd_hpc.stages.imported import _check_surface
from gcd_hpc.stages.rescore import as_relaxed, without_extras
from gcd_hpc.store.export import export
from gcd_hpc.store.parts import write_part
from gcd_hpc.store.provenance import campaign_provenance
from gcd_hpc.store.run import open_run
from gcd_hpc.store.schema import Candidate
from gcd_hpc.structures.bicrystal import Bicrystal
from gcd_hpc.structures.energetics import J_PER_M2
from gcd_hpc.structures.frame import Frame
from tests.stages.vasp_runs import run_vasp

CAMPAIGN = """
name: cu
boundary: {element: Cu, lattice: fcc, sigma: 5, axis: [0, 0, 1], plane: [2, 1, 0]}
engine: ase
calculator: emt
relaxation: {preset: tight}
search: {num_tries: 2}
sampling: {num_candidates: 2}
"""
NAMES = ("search-000000", "search-000001")
SAME_J_M2 = 2e-3
"""Largest difference of energies from atoms and from totals.

Atoms that are held feel those that moved, and are left out of a sum over atoms.
"""


@dataclass(frozen=True)
class Imported:
    """A run, its export in which EMT has run, and what EMT makes of each structure in it."""

    run: Path
    folder: Path
    zero_ev: float
    expected: dict[str, float]


@pytest.fixture(scope="module")
def searched(tmp_path_factory) -> tuple[Path, BoundarySystem]:
    config = parse_campaign(CAMPAIGN, "cu.yaml")
    potential = find_engine(config, Path())
    system = BoundarySystem.of(config, potential, measure_bulk(potential, ["Cu"], "fcc"))
    rows = []
    with Child(potential, 120.0) as child:
        for number, name in enumerate(NAMES):
            rng = np.random.default_rng(number)
            atoms, _, _ = search_start(system.frame, config.search, rng)
            relaxed = relax_boundary(child, atoms, system.bicrystal, system.bulk, config.relaxation)
            empty = Candidate(
                id=name,
                source="search",
                version=0,
                round=0,
                index=number,
                seed=number,
                status="ok",
                potential_sha256=potential.sha256,
                cohesive_ev=system.bulk.cohesive_ev,
                area_a2=system.bicrystal.area,
                surface_depth_a=system.bulk.reach,
                atoms_per_plane=system.bicrystal.atoms_per_plane,
            )
            rows.append(as_relaxed(empty, atoms, relaxed))
    path = tmp_path_factory.mktemp("imported") / "run.h5"
    write_part(path, rows, campaign_provenance(config))
    return path, system


def computed(
    run: Path, system: BoundarySystem, folder: Path, form: str, a0: float | None
) -> Imported:
    """Export a run and let EMT run in all folders."""
    export(open_run(run), "vasp", folder, a0)
    zero = system.potential.zeros_ev[0]  # type: ignore[attr-defined]
    done = {one.name: run_vasp(one, zero, form) for one in sorted(folder.iterdir())}
    energies = {name: one.get_potential_energy() for name, one in done.items()}
    sizes = {name: len(one) for name, one in done.items()}
    area = float(np.linalg.norm(np.cross(*done["lower"].cell[:2])))
    expected = {}
    for name in NAMES:
        # Less half a slab of each grain, and the crystal for the atoms that remain.
        total = energies[name] - energies["lower"] / 2 - energies["upper"] / 2
        remaining = sizes[name] - sizes["lower"] / 2 - sizes["upper"] / 2
        total -= remaining * energies["bulk"] / sizes["bulk"]
        expected[name] = total / area * J_PER_M2
    return Imported(run, folder, zero, expected)


@pytest.fixture(scope="module")
def finished(searched, tmp_path_factory) -> Imported:
    folder = tmp_path_factory.mktemp("finished") / "vasp"
    return computed(*searched, folder, "vasprun.xml", None)


@pytest.fixture
def own(finished, tmp_path) -> Imported:
    """A copy that a test may spoil."""
    run = shutil.copy(finished.run, tmp_path / "run.h5")
    folder = shutil.copytree(finished.folder, tmp_path / "vasp")
    return Imported(Path(run), folder, finished.zero_ev, finished.expected)


def imported(run: Path, *folders: Path):
    return CliRunner().invoke(app, ["import", str(run), *map(str, folders), "--json"])


def test_energies_from_total_energies_are_those_of_single_atoms_and_the_run_is_left_alone(own):
    before = own.run.read_bytes()
    result = imported(own.run, own.folder)
    assert result.exit_code == 0, result.output
    records = json.loads(result.output)
    assert [one["id"] for one in records] == list(NAMES)
    for one in records:
        assert one["energies_from"] == "surfaces"
        # The run's energies are sums over atoms, at the ends of tight relaxations.
        assert one["rescored_gb_energy_j_m2"] == pytest.approx(one["gb_energy_j_m2"], abs=SAME_J_M2)
        assert one["rescored_gb_energy_j_m2"] == pytest.approx(own.expected[one["id"]], abs=1e-5)
    assert own.run.read_bytes() == before
    (file,) = own.run.parent.glob("run-rescored-vasp-*.h5")
    assert file.with_suffix(".png").stat().st_size > 10_000
    verified = CliRunner().invoke(app, ["verify", str(file)])
    assert verified.exit_code == 0, verified.output
    for known, row in zip(open_run(own.run), open_run(file), strict=True):
        assert row.excess_volume_a == pytest.approx(known.excess_volume_a, abs=0.01)
        assert row.n_index == known.n_index


def test_single_folders_are_imported(own):
    shutil.rmtree(own.folder / NAMES[1])
    result = imported(own.run, own.folder / NAMES[0])
    assert [one["id"] for one in json.loads(result.output)] == [NAMES[0]]


def test_structures_scaled_to_another_lattice_constant_are_compared_with_its_crystal(
    searched, tmp_path
):
    run, system = searched
    run = Path(shutil.copy(run, tmp_path / "run.h5"))
    done = computed(run, system, tmp_path / "vasp", "OUTCAR", 1.005 * system.bicrystal.a0)
    records = json.loads(imported(run, done.folder).output)
    for one in records:
        assert one["rescored_gb_energy_j_m2"] == pytest.approx(done.expected[one["id"]], abs=1e-5)
        # The crystal of the run would be 0.1 J/m^2 off.
        assert abs(one["rescored_gb_energy_j_m2"] - one["gb_energy_j_m2"]) < 0.1
    (file,) = tmp_path.glob("run-rescored-vasp-*.h5")
    verified = CliRunner().invoke(app, ["verify", str(file)])
    assert verified.exit_code == 0, verified.output


def test_electrons_that_did_not_converge_are_seen_in_outcar_too(own):
    run_vasp(own.folder / "bulk", own.zero_ev, "OUTCAR")
    (own.folder / "bulk/vasprun.xml").unlink()
    assert imported(own.run, own.folder / NAMES[0]).exit_code == 0
    path = own.folder / "bulk/OUTCAR"
    # VASP 5 says nothing where a step used up its iterations.
    last = "------- Iteration      2(  60)  -------\n General timing"
    path.write_text(path.read_text().replace(" General timing", last))
    result = imported(own.run, own.folder / NAMES[0])
    assert "bulk/OUTCAR: the electrons of the last step did not converge" in str(result.exception)


def test_a_boundary_of_several_elements_is_exported_without_references_and_not_imported(
    own, tmp_path
):
    config = parse_campaign(CAMPAIGN.replace("element: Cu", "elements: [Cu, Ni]"), "alloy.yaml")
    run = tmp_path / "alloy.h5"
    rows = [without_extras(one) for one in open_run(own.run)]
    write_part(run, rows, campaign_provenance(config))
    export(open_run(run), "vasp", tmp_path / "alloy")
    assert sorted(one.name for one in (tmp_path / "alloy").iterdir()) == list(NAMES)
    result = imported(run, own.folder)
    assert re.search(
        r"alloy\.h5: VASP gives no energies of single atoms, which a boundary of several elements"
        r" needs: .*; use gcd-hpc rescore",
        str(result.exception),
    )


def test_a_surface_that_is_cut_otherwise_than_its_reference_is_refused(tmp_path):
    """Planes (111) of diamond are double layers, which can be cut in two ways."""
    config = BoundaryConfig(
        element="Si", lattice="diamond", sigma=3, axis=(1, 1, 1), plane=(1, 1, 1)
    )
    bicrystal = Bicrystal.build(config, 5.43)
    positions = Frame.build(bicrystal, (27.0, 27.0), 65.0).join((0.0, 0.0, 0.0)).positions
    for side, ends in (("lower", positions[:, 2].min()), ("upper", positions[:, 2].max())):
        _check_surface(side, positions, bicrystal, tmp_path / "one")
        cut = positions[np.abs(positions[:, 2] - ends) > 0.1]
        with pytest.raises(GcdError, match=f"its {side} surface is not the one whose energy"):
            _check_surface(side, cut, bicrystal, tmp_path / "one")


def edited(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / name).read_text()
        assert re.search(old, text)
        (folder / name).write_text(re.sub(old, new, text, count=1))

    return change


def removed(name: str) -> Callable[[Path], None]:
    def remove(folder: Path) -> None:
        shutil.rmtree(folder / name) if (folder / name).is_dir() else (folder / name).unlink()

    return remove


OUT = f"{NAMES[0]}/vasprun.xml"


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (removed("lower"), r"vasp/lower: there is no such folder of inputs, but"),
        (removed("bulk/vasprun.xml"), r"vasp/bulk: there is neither vasprun\.xml nor OUTCAR"),
        (removed(OUT), r"000000: there is neither vasprun\.xml nor OUTCAR; run VASP there"),
        (edited(OUT, "</modeling>", ""), r"vasprun\.xml: the run of VASP is not finished"),
        (edited(OUT, "<energy>", "<energ>"), r"vasprun\.xml: cannot be read: "),
        (edited(OUT, "    60</i>", "1</i>"), r"the electrons of the last step did not converge"),
        (edited(OUT, "-0.02", "-1e-9"), r"the atoms are not relaxed: a force of 0\.0\d+ eV/Å"),
        (edited(f"{NAMES[0]}/INCAR", "SIGMA = 0.2", "SIGMA = 0.1"), r"SIGMA is 0\.1, but 0\.2 in"),
        (edited(f"{NAMES[0]}/POSCAR", "^.*", "mine"), r"POSCAR: its first line names no structure"),
        (edited(f"{NAMES[0]}/POSCAR", "-000000", "-000009"), r"has no structure search-0000"),
        (
            edited(f"{NAMES[0]}/POSCAR", r"\(.*\)", "(0123)"),
            r"of another structure",
        ),
        (
            edited(f"{NAMES[0]}/POSCAR", " 1.0+\n", " 1.01\n"),
            r"the cell is no longer that of POSCA",
        ),
        (edited("bulk/POSCAR", "Cu", "Ni"), r"bulk/vasprun\.xml: has other atoms than POSCAR"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_written(spoil, sentence, own):
    spoil(own.folder)
    result = imported(own.run, own.folder)
    assert isinstance(result.exception, GcdError), result.output
    assert re.search(sentence, str(result.exception)), str(result.exception)
    assert result.exception.exit_code == 2
    assert not list(own.run.parent.glob("run-rescored*"))


def test_structures_at_another_lattice_constant_than_the_crystal_are_refused(own):
    atoms = (own.folder / "bulk/POSCAR").read_text()
    (own.folder / "bulk/POSCAR").write_text(re.sub(r"(?m)^ *1\.0+$", " 1.01", atoms, count=1))
    run_vasp(own.folder / "bulk", own.zero_ev)
    result = imported(own.run, own.folder)
    assert "the cell is not that of the boundary at the lattice constant of" in str(
        result.exception
    )


def test_a_folder_without_structures_is_refused(own, tmp_path):
    result = imported(own.run, tmp_path / "nothing")
    assert "there are no folders with a POSCAR to import" in str(result.exception)


def test_only_structures_for_vasp_are_scaled(own, tmp_path):
    with pytest.raises(GcdError, match="--a0 scales structures for vasp only, not for poscar"):
        export(open_run(own.run), "poscar", tmp_path / "out", 3.6)
    with pytest.raises(GcdError, match="--a0 -1: must be above 0 Å"):
        export(open_run(own.run), "vasp", tmp_path / "out", -1.0)
