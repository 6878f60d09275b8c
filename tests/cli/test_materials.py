"""Commands on the results of a material: those that know it, and the refusal by all others."""

import pytest

from gcd_hpc.cli.application import COMMANDS, KNOW_MATERIALS
from gcd_hpc.config.loader import load_material
from gcd_hpc.spectra.measured import MeasuredSpectrum
from gcd_hpc.spectra.target import write_target
from gcd_hpc.store.index import RunStore
from gcd_hpc.store.makers import group_of, maker_name
from tests.cli.test_reading import called
from tests.material_run import CAMPAIGN, ENERGIES_EV, TARGET, write_material_run

REFUSED = {
    "relax": "RUN --campaign RUN/campaign.yaml",
    "rescore": "RUN --engine emt",
    "import": "RUN RUN",
    "overview": "RUN",
    "image": "RUN model-01-000000 --out F.npy",
    "phases": "RUN",
    "gamma": "RUN",
    "free-energy": "RUN",
    "hold": "RUN",
    "diagram": "RUN",
    "model train": "RUN --out F",
    "model energy": "RUN --out F",
    "merge": "RUN --out F",
    "archive": "RUN --out F",
}
SENTENCE = (
    "material: makes this the campaign of a material, and here that of a grain boundary is needed"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_material_run(tmp_path_factory.mktemp("material"))


@pytest.mark.parametrize("command", [name for name in REFUSED if name in COMMANDS])
def test_commands_that_know_only_boundaries_refuse_a_material_with_one_sentence(run, command):
    if command in KNOW_MATERIALS:
        pytest.fail(f"{command} knows materials: take it out of REFUSED")
    words = REFUSED[command].replace("RUN", str(run)).replace("F", str(run.parent / "file")).split()
    text, code = called(*command.split(), *words)
    assert code == 2, text
    assert SENTENCE in " ".join(text.split())


def test_a_file_of_candidates_of_a_material_is_refused_too(run, tmp_path):
    file = tmp_path / "results.h5"
    RunStore(run).write_all(file)
    text, code = called("phases", str(file))
    assert code == 2
    assert f"{file}: {SENTENCE}" in text


def test_search_and_rehearse_refuse_the_campaign_file_of_a_material(run):
    file = str(run / "campaign.yaml")
    for words in (["search", "--campaign", file], ["rehearse", file]):
        text, code = called(*words)
        assert code == 2
        assert SENTENCE in text


@pytest.fixture
def campaign(tmp_path):
    """A campaign file and its target."""
    file = tmp_path / "small_carbon.yaml"
    file.write_text(CAMPAIGN)
    write_target(tmp_path / "target.csv", MeasuredSpectrum(ENERGIES_EV, TARGET, "C", "K", "mine"))
    return file


def test_check_says_what_the_campaign_of_a_material_does(campaign):
    text, code = called("check", str(campaign), "--set", "labelling.engine=my:Engine")
    assert code == 0
    assert f"{campaign}: sound: C, 2 rounds of 7 samples" in text
    for line in (
        "cell: 64 atoms of C at 2.5 g/cm^3",
        "first structures: 4 melt-quenches at 2, 3 g/cm^3",
        "spectra: my:Engine, 8 atoms of each first structure, 8 of each sample",
        "samples of a round: 4 with guidance, 3 without it",
        "target: target.csv, C K edge, 81 points from 280 to 300 eV",
        "not checked: labelling.engine: my:Engine is imported when the campaign starts",
    ):
        assert line in text


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("target.file=none.csv", "target.file: there is no file"),
        ("labelling.engine=none.h5", "labelling.engine: there is no file"),
        ("labelling.edge=L3", "target.file: must be of the C L3 edge"),
        ("structures.file=none.xyz", "structures.file: there is no file"),
        ("material.element=Si", "potential: pair_coeff * * SiC.tersoff C is a potential of C"),
        ("potential.file=none.tersoff", "potential: "),
    ],
)
def test_check_names_the_key_that_is_wrong(campaign, change, problem):
    window = "labelling.window_ev=[1830,1850,0.5]"
    text, code = called("check", str(campaign), "--set", change, "--set", window)
    assert code == 2
    assert f"{campaign}: {problem}" in text


def test_a_plan_lists_each_stage_of_a_material_with_its_cost(campaign):
    options = ("--set", "budget.rounds=1", "--set", "labelling.window_ev=[280,300,0.25]")
    text, code = called("campaign", str(campaign), "--plan", *options)
    assert code == 0
    for words in ("quench 4 4 structures", "fit 1 12,000 steps", "verify 2 7 samples"):
        assert words in " ".join(text.split())
    assert "gcd_hpc.stages.material_fit" in text
    assert load_material(campaign).name == "small_carbon"


def test_reading_commands_show_a_material_without_a_boundary(run, tmp_path):
    text, code = called("top", str(run), "--num", "2")
    assert code == 0 and "model-02-000002" in text and "0.0200 ± 0.0100" in text
    assert "[n]" not in text and "J/m^2" not in text
    text, code = called("ls", str(run), "--sort", "error", "--num", "0", "--csv")
    assert code == 0 and text.splitlines()[1].startswith("model-02-000002,ok,0.02")
    text, code = called("show", str(run), "model-02-000002")
    assert code == 0 and "spectrum error 0.0200 ± 0.0100, the smallest of 12" in text
    text, code = called("verify", str(run))
    assert code == 0 and "not checked (n)" not in text
    for words, problem in (
        (("top", "--per-n"), "structures of a material have no [n]"),
        (("ls", "--unique"), "structures of a material have no phases"),
        (("plot",), "egb-n cannot be drawn of a material; choose one of spectra, errors"),
    ):
        text, code = called(words[0], str(run), *words[1:])
        assert code == 2 and problem in " ".join(text.split())


@pytest.mark.parametrize("what", ["spectra", "errors"])
def test_figures_of_a_material_are_drawn(run, tmp_path, what):
    out = tmp_path / f"{what}.png"
    text, code = called("plot", str(run), "--what", what, "--out", str(out))
    assert code == 0, text
    assert out.stat().st_size > 10_000


def test_the_ancestry_of_a_material_has_its_error_and_energy_and_no_n(run):
    text, code = called("show", str(run), "model-02-000002", "--ancestry")
    assert code == 0
    assert "spectrum error" in text and "0.0200 ± 0.0100" in text and "energy (eV/atom)" in text
    assert "[n]" not in text and "GB energy" not in text


def test_runs_of_a_material_are_compared_by_error_energy_and_cost(run, tmp_path):
    other = write_material_run(tmp_path, "again")
    text, code = called("compare", str(run), str(other), "--out", str(tmp_path / "both.png"))
    assert code == 0, text
    assert "smallest error" in text and "0.0200 ± 0.0100" in text and "model-02-000002" in text
    assert (tmp_path / "both.png").stat().st_size > 10_000


def test_a_material_and_a_boundary_are_not_compared(run, tmp_path):
    from tests.browse.sets import make_set

    boundary = make_set(tmp_path / "set") / "boundaries" / "s5_310"
    text, code = called("compare", str(run), str(boundary))
    assert code == 2
    assert "is of a material and s5_310 of a boundary" in " ".join(text.split())


def test_first_structures_of_a_material_have_names_of_their_own():
    assert maker_name("quench", 0, "") == "quench"
    assert maker_name("given", 0, "") == "given"
    assert maker_name("model", 2, "") == "model 02"
    assert group_of("quench", 0, "") == group_of("given", 0, "") == "search"
