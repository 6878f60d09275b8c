"""Phase diagrams of made cases, whose transitions have closed forms, and of runs."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from gcd_hpc.cli.application import app
from gcd_hpc.errors import StoreError
from gcd_hpc.phases.clustering import find_phases
from gcd_hpc.phases.diagram import Axis, Diagram, Line
from gcd_hpc.phases.diagram_inputs import (
    EXCESS,
    FREE,
    diagram_of,
    line_of_composition,
    lowest_of_each_composition,
    read_diagram,
    write_diagram,
)
from gcd_hpc.phases.phase import Phase
from gcd_hpc.store.parts import write_part
from gcd_hpc.store.run import Run, open_run
from gcd_hpc.store.run_candidate import RunCandidate
from gcd_hpc.store.run_directory import RunDirectory
from gcd_hpc.structures.composition import Chemistry
from tests.phases.copper import copper_run
from tests.phases.made import made_record
from tests.store.synthetic import CONFIG, make_candidate

STRAIN = Axis("strain", "strain", -0.01, 0.01)
KELVIN = np.linspace(0.0, 1000.0, 11)


def line(name: str, energy: float, entropy: float, slope: float, error: float = 0.0) -> Line:
    """A phase whose energy falls in proportion to the temperature, J/m^2/K."""
    energies = energy - entropy * KELVIN
    return Line(name, 0.0, energies, np.full(len(KELVIN), error), slope)


def made(*lines: Line) -> Diagram:
    return Diagram(STRAIN, KELVIN, lines)


def test_two_phases_change_at_the_temperature_of_equal_energies():
    diagram = made(line("0-1", 1.0, 1e-4, 0.0), line("0-2", 1.03, 2e-4, 0.0))
    ((kelvin, below, above),) = diagram.transition_temperatures(0.0)
    assert kelvin == pytest.approx(0.03 / 1e-4)
    assert (below, above) == ("0-1", "0-2")


def test_strain_moves_the_transition_temperature_as_clausius_and_clapeyron_say():
    """dT / d(strain) is the difference of the stresses over that of the entropies."""
    diagram = made(line("0-1", 1.0, 1e-4, 1.5), line("0-2", 1.03, 2e-4, -0.5))
    kelvin = [diagram.transition_temperatures(strain)[0][0] for strain in (-0.005, 0.005)]
    assert (kelvin[1] - kelvin[0]) / 0.01 == pytest.approx((-0.5 - 1.5) / (2e-4 - 1e-4))


def test_phases_change_along_the_strain_where_their_energies_are_equal():
    diagram = made(line("0-1", 1.0, 0.0, 1.0), line("0-2", 1.004, 0.0, -1.0))
    found = diagram.crossings()
    assert len(found) == len(KELVIN)
    assert {(one.below, one.above) for one in found} == {("0-1", "0-2")}
    np.testing.assert_allclose([one.at for one in found], 0.002)
    values = np.array([-0.009, 0.001, 0.003])
    assert diagram.stable(values)[0].tolist() == [0, 0, 1]


@pytest.mark.parametrize("kelvin", [300.0, 310.0])
def test_a_change_is_found_once_also_at_a_temperature_of_the_grid(kelvin):
    diagram = made(line("0-1", 1.0, 1e-4, 0.0), line("0-2", 1.0 + kelvin * 1e-4, 2e-4, 0.0))
    found = diagram.transition_temperatures(0.0)
    assert [one[1:] for one in found] == [("0-1", "0-2")]
    assert found[0][0] == pytest.approx(kelvin)


def test_a_phase_that_is_never_lowest_has_no_transition():
    high = line("0-3", 1.1, 0.0, 0.0)
    diagram = made(line("0-1", 1.0, 0.0, 1.0), high, line("0-2", 1.004, 0.0, -1.0))
    assert "0-3" not in {name for one in diagram.crossings() for name in (one.below, one.above)}


def test_a_difference_within_the_errors_is_uncertain():
    sure = made(line("0-1", 1.0, 0.0, 0.0, 0.003), line("0-2", 1.01, 0.0, 0.0, 0.003))
    open_ = made(line("0-1", 1.0, 0.0, 0.0, 0.008), line("0-2", 1.01, 0.0, 0.0, 0.008))
    values = np.zeros(1)
    assert not sure.uncertain(values).any()
    assert open_.uncertain(values).all()


def test_errors_of_the_stress_grow_with_the_strain():
    lines = (line("0-1", 1.0, 0.0, 0.0), replace(line("0-2", 1.01, 0.0, 0.0), slope_error=2.0))
    assert made(*lines).uncertain(np.array([0.004, 0.006]))[0].tolist() == [False, True]


@pytest.fixture
def run(tmp_path_factory, tmp_path) -> Run:
    return open_run(Path(shutil.copytree(copper_run(tmp_path_factory), tmp_path / "run")))


@pytest.fixture
def phases(run) -> list[Phase]:
    return find_phases(run, 2)


def measure(run: Run, phase: Phase, kind: str, results: dict) -> None:
    """A measurement with made results."""
    record = made_record(phase, kind, results)
    record.write(RunDirectory(run.path).measured(kind, phase.file_name))


def with_free_energies(run: Run, phase: Phase, energy: float, entropy: float) -> None:
    measure(
        run,
        phase,
        FREE,
        {
            "temperatures_k": KELVIN.tolist(),
            "free_energy_j_m2": (energy - entropy * KELVIN).tolist(),
            "error_j_m2": [0.001] * len(KELVIN),
        },
    )


def with_stresses(run: Run, phase: Phase, *stress: float) -> None:
    results = {"excess_stress_n_m": stress, "excess_stress_by_strain_n_m": stress}
    measure(run, phase, EXCESS, {name: list(values) for name, values in results.items()})


@pytest.mark.lammps
def test_without_measurements_the_excess_volumes_give_the_stress_along_the_normal(run, phases):
    diagram = diagram_of(run, phases)
    assert (diagram.axis.name, diagram.temperatures_k.tolist()) == ("stress", [0.0])
    first, second = diagram.lines
    # 1 Å of excess volume gains 0.1 J/m^2 under a tension of 1 GPa.
    assert first.slope == pytest.approx(-0.1 * phases[0].excess_volume_a)
    equal = (first.energies_j_m2[0] - second.energies_j_m2[0]) / (second.slope - first.slope)
    wide = diagram_of(run, phases, "stress", (equal - 1, equal + 1))
    assert [one.at for one in wide.crossings()] == [pytest.approx(equal)]
    assert "gcd-hpc free-energy" in diagram.missing[0]
    assert "gcd-hpc phases" in diagram.missing[1]


@pytest.mark.lammps
def test_measured_phases_have_temperature_and_strain(run, phases):
    for phase, energy, entropy, stress in zip(
        phases, (1.0, 1.03), (1e-4, 2e-4), ((1.0, 0.5, 0.2), (-1.0, 0.5, 0.0)), strict=True
    ):
        with_free_energies(run, phase, energy, entropy)
        with_stresses(run, phase, *stress)
    diagram = diagram_of(run, phases)
    assert diagram.axis.name == "strain"
    assert [one.slope for one in diagram.lines] == [1.5, -0.5]
    assert [one.slope for one in diagram_of(run, phases, "shear").lines] == [0.2, 0.0]
    ((kelvin, *_),) = diagram.transition_temperatures(0.005)
    assert kelvin == pytest.approx((0.03 - 2 * 0.005) / 1e-4)
    assert not diagram.missing


@pytest.mark.lammps
def test_a_phase_that_lacks_a_measurement_is_left_out_with_the_command_that_makes_it(run, phases):
    with_free_energies(run, phases[0], 1.0, 1e-4)
    diagram = diagram_of(run, phases)
    assert [one.name for one in diagram.lines] == [phases[0].name]
    assert f"gcd-hpc free-energy {run.path}" in diagram.left_out[phases[1].name]
    with pytest.raises(StoreError, match=r"no excess stress was measured; gcd-hpc phases"):
        diagram_of(run, phases, "strain")


@pytest.mark.lammps
def test_a_diagram_is_read_as_it_was_written(run, phases):
    made_now = diagram_of(run, phases)
    path = write_diagram(run.path, made_now)
    read = read_diagram(run.path, "stress")
    assert read.axis == made_now.axis
    np.testing.assert_array_equal(
        read.energies(np.array([-1.0, 2.0])), made_now.energies(np.array([-1.0, 2.0]))
    )
    path.write_text(path.read_text().replace("stress", "strain"))
    with pytest.raises(StoreError, match="the diagram cannot be read"):
        read_diagram(run.path, "stress")
    with pytest.raises(StoreError, match="--axis mu makes it"):
        read_diagram(run.path, "mu")


@pytest.mark.lammps
def test_a_single_file_of_results_keeps_no_diagram(run, phases):
    (file,) = RunDirectory(run.path).search_parts()[:1]
    with pytest.raises(StoreError, match="name the run directory that made it"):
        write_diagram(file, diagram_of(run, phases))


@pytest.mark.lammps
def test_the_command_says_what_is_missing_and_writes_data_and_a_figure(run):
    words = ["diagram", str(run.path), "--range", "-20:20"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "missing: temperature: gcd-hpc free-energy" in done.output
    folder = RunDirectory(run.path).measured("diagram", "stress").parent
    assert {one.name for one in folder.iterdir()} == {"stress.json", "stress.png"}
    assert json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)["axis"]["high"] == 20
    wrong = CliRunner().invoke(app, [*words[:2], "--range", "3:1"])
    assert "--range must be two ascending numbers" in str(wrong.exception)


CHEMISTRY = Chemistry((28, 13), (-4.5, -4.6), (-4.8, -4.3), (-4.4, -4.7), (-5.2, -3.9))
"""A compound: its chemical potentials add up to -9.1 eV."""


def test_a_compound_has_the_stored_energies_at_both_limits_of_the_chemical_potential():
    row = candidate(gb_energy_j_m2=1.1, rich_gb_energy_j_m2=1.3, poor_gb_energy_j_m2=0.9)
    one = line_of_composition(row, CHEMISTRY)
    # The pure second element is at 0, the equilibrium with the pure first one 0.8 eV below.
    assert one.energies_j_m2 + one.slope * 0.0 == pytest.approx(0.9)
    assert one.energies_j_m2 + one.slope * (-4.7 + 3.9) == pytest.approx(1.3)
    # The campaign's own potential lies in the middle.
    assert one.energies_j_m2 + one.slope * (-4.3 + 3.9) == pytest.approx(1.1)


def test_atoms_of_a_solute_gain_its_chemical_potential():
    numbers = np.array([28] * 28 + [29] * 2)
    solute = Chemistry((28, 29), (-4.5, -3.5), (-4.5, -3.5), (-4.5, -3.5), (-4.5, -3.5))
    one = line_of_composition(candidate(numbers=numbers, gb_energy_j_m2=1.0), solute)
    assert one.energies_j_m2 == pytest.approx(1.0)
    # 1 eV/Å^2 is 16.0218 J/m^2.
    assert one.slope == pytest.approx(-2 / candidate().area_a2 * 16.0218, rel=1e-5)


def test_each_composition_has_the_line_of_its_lowest_finished_structure(tmp_path):
    """A relaxation that was not finished leaves an energy that is too high or not certain."""
    kinds = [("", "screen"), ("", "tight"), ("", "tight"), ("Al+1", "tight")]
    rows = [
        make_candidate(number, surplus=surplus, preset=preset)
        for number, (surplus, preset) in enumerate(kinds)
    ]
    write_part(tmp_path / "a.h5", rows, {"config": CONFIG})
    found = lowest_of_each_composition(open_run(tmp_path / "a.h5"))
    assert [one.index for one in found] == [1, 3]


def candidate(**fields) -> RunCandidate:
    return RunCandidate(**vars(make_candidate(1, area_a2=50.0, **fields)), element="Ni")
