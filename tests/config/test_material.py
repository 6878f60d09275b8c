"""The campaign file of a material: valid ones, and what is said about wrong ones."""

import pytest

from gcd_hpc.config.guidance import SpectrumGuidance
from gcd_hpc.config.loader import dump, load_campaign, load_material, parse_material
from gcd_hpc.errors import ConfigError
from tests.config.conftest import MINIMAL as BOUNDARY

MINIMAL = """\
name: carbon
material: {element: C, density_g_cm3: 2.5}
potential: {pair_style: tersoff, pair_coeff: "* * {file} C", file: SiC.tersoff}
target: {file: target.csv}
quench: {densities_g_cm3: [2.0, 2.5, 3.0]}
guidance: [{property: spectrum}]
"""


@pytest.fixture
def load(folder):
    def load_text(text: str = MINIMAL, *overrides: str):
        (folder / "m.yaml").write_text(text, encoding="utf-8")
        return load_material("m.yaml", overrides)

    return load_text


def test_a_minimal_file_has_all_defaults_and_its_copy_is_equal(load):
    config = load()
    assert config.material.num_atoms == 216
    assert config.spectrum_guidance == SpectrumGuidance(property="spectrum")
    assert parse_material(dump(config), "copy") == config


def test_tasks_are_counted_with_the_last_and_smaller_ones(load):
    config = load(
        MINIMAL,
        "quench.num_per_density=3",
        "quench.chunk_size=2",
        "structures={file: a.extxyz, num_tasks: 2}",
        "sampling.num_guided=5",
        "sampling.num_unguided=2",
    )
    assert config.quench.num == 9
    assert config.num_quench_chunks == 5 + 2
    assert config.num_sample_chunks == 2  # 4 and 3 candidates


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["materials={}"], "materials: unknown key, did you mean material?"),
        (["material.element=carbon"], "material.element: must be a chemical symbol such as C"),
        (["material.density_g_cm3=0"], "material.density_g_cm3: must be at least 0.01, got 0"),
        (["target={}"], "target.file: is required but missing"),
        (["target.max_shift_ev=2"], "target.max_shift_ev: must be at most 1, got 2"),
        (["quench=null"], "quench: is required where no structures are given, but missing"),
        (
            ["quench.densities_g_cm3=[2.5]"],
            "quench.densities_g_cm3: must have at least two densities where no structures are",
        ),
        (["guidance=[]"], "guidance: is required where sampling.num_guided is greater than 0"),
        (
            ["guidance=[{property: n_fraction}]"],
            "guidance[0].property: must be 'spectrum', got 'n_fraction'",
        ),
        (
            ["guidance=[{property: spectrum}, {property: spectrum}]"],
            "guidance: must have one entry, the spectrum, got 2",
        ),
        (
            ["sampling.num_guided=0", "sampling.num_unguided=0"],
            "sampling.num_guided: must be greater than 0 where sampling.num_unguided is 0, got 0",
        ),
        (
            ["material.element=Si"],
            "labelling.window_ev: is required for the Si K edge by feff10, but missing",
        ),
        (
            ["labelling.window_ev=[310, 272, 0.4]"],
            "labelling.window_ev: must be [first, last, distance] with at least ten distances",
        ),
        (
            ["prior.min_sigma_a=1"],
            "prior.min_sigma_a: must be less than max_sigma_a, 0.9, got 1",
        ),
    ],
)
def test_a_mistake_is_one_sentence_with_its_key(message, options, expected):
    assert expected in message(MINIMAL, *options)


def test_an_own_engine_needs_no_window_of_energies(load):
    config = load(MINIMAL, "material.element=Si", "labelling.engine=mine:Engine")
    assert config.labelling.window_ev is None


def test_a_boundary_is_not_guided_by_a_spectrum(folder):
    (folder / "b.yaml").write_text(BOUNDARY + "guidance: [{property: spectrum}]\n")
    with pytest.raises(ConfigError, match=r"guidance\[0\].property: must be one of n_fraction"):
        load_campaign("b.yaml")


def test_the_file_of_a_material_is_told_apart_where_a_boundary_is_needed(folder):
    (folder / "m.yaml").write_text(MINIMAL)
    with pytest.raises(ConfigError, match="material: makes this the campaign of a material"):
        load_campaign("m.yaml")
