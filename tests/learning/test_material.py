"""The system of a material: prepared in a run, read there again, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import write

from gcd_hpc.config.loader import dump, load_material
from gcd_hpc.errors import ConfigError, RunDirectoryError
from gcd_hpc.learning.material import (
    check,
    density,
    load_material_system,
    prepare,
)
from gcd_hpc.learning.material_labels import labelled_structures
from gcd_hpc.spectra.align import mean_level
from gcd_hpc.spectra.label import EngineChoice, label
from gcd_hpc.spectra.measured import MeasuredSpectrum
from gcd_hpc.spectra.target import write_target
from gcd_hpc.store.run_directory import RunDirectory
from tests.material import ENERGIES_EV, SMALL, write_target_of


@pytest.fixture
def load(tmp_path):
    """Loads the small campaign beside its target."""
    write_target_of(tmp_path / "target.csv", 3.5)
    (tmp_path / "m.yaml").write_text(SMALL)
    return lambda *overrides: load_material(tmp_path / "m.yaml", overrides)


@pytest.fixture
def refusal(load, tmp_path):
    def message_of(*overrides: str) -> str:
        with pytest.raises(ConfigError) as caught:
            check(load(*overrides), tmp_path)
        return str(caught.value)

    return message_of


def test_a_prepared_run_needs_no_other_file(load, tmp_path):
    config, run = load(), tmp_path / "run"
    run.mkdir()
    RunDirectory(run).config.write_text(dump(config))
    first = prepare(run, config, tmp_path)
    (tmp_path / "target.csv").unlink()
    again = load_material_system(str(run))
    assert np.array_equal(again.target.values, first.target.values)
    assert again.potential.sha256 == first.potential.sha256
    assert again.config == config
    assert mean_level(first.target.values[0], ENERGIES_EV) == pytest.approx(1.0, abs=1e-12)


def test_another_target_under_the_same_name_is_refused(load, tmp_path):
    config, run = load(), tmp_path / "run"
    run.mkdir()
    prepare(run, config, tmp_path)
    write_target_of(tmp_path / "target.csv", 2.0)
    with pytest.raises(RunDirectoryError, match=r"target.csv: is not a copy of .*of target.file"):
        prepare(run, config, tmp_path)


def test_the_box_has_the_density_of_the_material(load, tmp_path):
    system = check(load(), tmp_path)
    assert density("C", 32, system.lengths) == pytest.approx(2.5, rel=1e-12)
    row = system.row("model", 1, 0, np.zeros((32, 3)), system.lengths)
    assert row.density_g_cm3 == pytest.approx(2.5, rel=1e-12)


def test_a_missing_target_is_refused_with_its_key(refusal):
    message = refusal("target.file=none.csv")
    assert message.startswith("small: target.file: there is no file")


def test_a_target_without_energies_is_refused(refusal, tmp_path):
    write_target(tmp_path / "t.csv", MeasuredSpectrum(None, np.ones(41), "C", "K"))
    assert "target.file: " in (message := refusal("target.file=t.csv"))
    assert "states no energies" in message


def test_a_target_in_other_units_is_refused(refusal, tmp_path):
    rows = "\n".join(f"{energy},1.0" for energy in np.linspace(4.3, 4.5, 20))
    (tmp_path / "nm.csv").write_text(
        f"# Element.symbol: C\n# Element.edge: K\nwavelength_nm,absorption\n{rows}\n"
    )
    assert "is in nm; convert it to energies in eV or keV" in refusal("target.file=nm.csv")


def test_a_target_shorter_than_the_window_is_refused(refusal, tmp_path):
    short = MeasuredSpectrum(ENERGIES_EV[:30], np.ones(30), "C", "K")
    write_target(tmp_path / "short.csv", short)
    assert "reaches from 280 to 294.5 eV, which is less than the window from 280 to 300 eV" in (
        refusal("target.file=short.csv")
    )


def test_a_target_of_another_edge_is_refused(refusal, tmp_path):
    other = MeasuredSpectrum(ENERGIES_EV, np.ones(41), "Si", "K")
    write_target(tmp_path / "si.csv", other)
    assert "is the Si K edge, and the campaign is about the C K edge" in refusal(
        "target.file=si.csv"
    )


@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        ("feff1", "there is no engine 'feff1'; name feff10"),
        ("tests.material:Nothing", "the engine tests.material:Nothing cannot be loaded"),
        ("labels.h5", "labelling.engine: there is no file"),
    ],
)
def test_an_engine_that_is_not_there_is_refused(refusal, engine, expected):
    assert expected in refusal(f"labelling.engine={engine}")


def test_an_engine_of_another_edge_is_refused(refusal):
    assert "computes the C K edge, and the campaign is about the C L1 edge" in refusal(
        "labelling.edge=L1"
    )


def test_a_network_must_not_see_a_pair_of_atoms_twice(refusal):
    assert "small: prior.cutoff_a: must be at most half the shortest edge of a box, 2.98 Å" in (
        refusal("prior.cutoff_a=3")
    )


def crystal(symbol: str = "C", num: int = 32, **changes: object) -> Atoms:
    positions = np.random.default_rng(0).uniform(0, 6, (num, 3))
    return Atoms([symbol] * num, positions, **({"cell": [6, 6, 6], "pbc": True} | changes))


@pytest.mark.parametrize(
    ("atoms", "expected"),
    [
        (crystal("Si"), "structure 1 has atoms of Si, but the material is C"),
        (crystal(num=30), "structure 1 has 30 atoms, but material.num_atoms is 32"),
        (crystal(pbc=[True, True, False]), "a box that is not periodic with right angles"),
        (crystal(cell=[[6, 0, 0], [1, 6, 0], [0, 0, 6]]), "not periodic with right angles"),
    ],
)
def test_a_given_structure_that_does_not_fit_is_refused(refusal, tmp_path, atoms, expected):
    write(tmp_path / "given.extxyz", [atoms])
    message = refusal("structures={file: given.extxyz}")
    assert message.startswith("small: structures.file: ")
    assert expected in message


def test_more_tasks_than_given_structures_are_refused(refusal, tmp_path):
    write(tmp_path / "given.extxyz", [crystal()])
    assert "holds 1 structures, fewer than the 2 of structures.num_tasks" in refusal(
        "structures={file: given.extxyz, num_tasks: 2}"
    )


def test_labels_have_a_mean_level_of_one_and_groups_by_the_names_of_structures(load, tmp_path):
    system = check(load(), tmp_path)
    one = crystal()
    one.info["name"] = "2 g/cm3/quench-00-000001"
    choice = EngineChoice("tests.material:Distances", system.choice.settings)
    labelled = label([one], Path(tmp_path / "l.h5"), choice, 5)
    (structure,) = labelled_structures(system, [labelled])
    assert structure.group == "2 g/cm3"
    assert structure.known.sum() == 5
    for values in structure.values[structure.known]:
        assert mean_level(values, ENERGIES_EV) == pytest.approx(1.0, abs=1e-12)
