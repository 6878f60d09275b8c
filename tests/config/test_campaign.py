from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from gcd_hpc.config.campaign import CampaignConfig, SelectionConfig
from gcd_hpc.config.explain import fields
from gcd_hpc.config.section import Section, section_of
from tests.config.conftest import MINIMAL


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        # Numbers
        ("sampling.num_steps", 0, "must be greater than 0, got 0"),
        ("sampling.num_candidates", 2.5, "must be a whole number, got 2.5"),
        ("sampling.num_candidates", "20", "must be a whole number, got '20'"),
        ("sampling.num_candidates", True, "must be a whole number, got true"),
        ("sampling.num_candidates", None, "must be a whole number, got nothing"),
        ("sampling.num_candidates", [20], "must be a whole number, got [20]"),
        ("seed", -1, "must be at least 0, got -1"),
        ("training.learning_rate", "fast", "must be a number, got 'fast'"),
        ("training.learning_rate", float("inf"), "must be a finite number, got Infinity"),
        ("diffusion.condition_dropout", 1.5, "must be at most 1, got 1.5"),
        ("diffusion.condition_dropout", -0.5, "must be at least 0, got -0.5"),
        # Words
        ("sampling.solver", "euler", "must be 'dpm-solver-3' or 'dpm-solver++2m', got 'euler'"),
        ("network.patch", 3, "must be 1 or 2, got 3"),
        ("name", 5, "must be text, got 5 (put it in quotes)"),
        ("potential.pair_style", None, "must be text, got nothing"),
        # Alternatives
        ("voxels.scale", -1, "must be at least 1e-12 or 'auto', got -1"),
        ("voxels.scale", "std", "must be a number or 'auto', got 'std'"),
        ("training.compile", "maybe", "must be true or false or 'auto', got 'maybe'"),
        # What YAML 1.1 would have changed silently
        ("training.symmetry", "no", "must be true or false, got 'no'"),
        (
            "budget.wall_time_s",
            "12:00:00",
            "must be a number, got '12:00:00' (if that is a time, write 43200 seconds)",
        ),
        ("seed", "010", "must be a whole number, got '010'"),
        # Lists and sections
        ("voxels.shape", [12, 12], "must be a list of 3 values, got [12, 12]"),
        ("voxels.shape", [12, 12, 72, 1], "must be a list of 3 values, got [12, 12, 72, 1]"),
        ("voxels.shape", 12, "must be a list or 'auto', got 12"),
        ("boundary.upper", [1, 0, 0], "must be a section of keys, got [1, 0, 0]"),
        ("search", None, "must be a section of keys, got nothing"),
        # Unknown keys
        ("sampling.num_step", 3, "unknown key, did you mean num_steps?"),
        ("num_candidates", 3, "unknown key here, did you mean sampling.num_candidates?"),
        (
            "potential.zzz",
            3,
            "unknown key, known here are pair_style, pair_coeff, file, files, accelerator,"
            " commands",
        ),
        # Solutes
        (
            "search.solutes",
            {"Cu": [0, 2]},
            "names Cu, which is no solute of the boundary; it has none",
        ),
        ("search.solutes", {"Cu": [3, 2]}, "must be [fewest, most] for Cu, got [3, 2]"),
        ("search.solutes.Cu", 3, "must be a list, got 3"),
        # Meaning
        (
            "name",
            "a/b",
            (
                "must be letters, digits and any of _ . - only, because folders are called after"
                " it, got 'a/b'"
            ),
        ),
        (
            "boundary.element",
            "Tungsten",
            "must be a chemical symbol such as W or Cu, got 'Tungsten'",
        ),
        ("boundary.upper.x", [0, 0, 0], "must be a direction, got [0, 0, 0]"),
        (
            "potential.pair_coeff",
            "* * W",
            "must contain {file}, where the path of W_zhou.eam.alloy goes, got '* * W'",
        ),
        ("potential.file", None, "is required, because pair_coeff contains {file}"),
        ("voxels.known", 36, "must be less than half of the 72 layers of shape, got 36"),
        (
            "voxels.shape",
            [12, 12, 74],
            "must be a multiple of 4 along z for network.patch 2 and network.num_levels 2, got 74",
        ),
        ("training.ema_decay", 1, "must be less than 1, got 1"),
        ("training.min_learning_rate", 0.1, "must be at most learning_rate, 0.0006, got 0.1"),
        ("search.md.num_steps", [20, 10], "must be [lowest, highest], got [20, 10]"),
    ],
)
def test_a_wrong_value_is_reported_with_what_is_expected_and_given(
    message_with, key, value, expected
):
    assert message_with(key, value) == f"c.yaml: {key}: {expected}"


def test_slabs_thinner_than_the_held_layers_are_refused(message_with):
    text = message_with("boundary.slab_heights", [7, 27])
    assert text == (
        "c.yaml: relaxation.outer_thickness: must be less than the thinner slab, 7, got 8"
    )


def test_directions_that_are_no_box_axes_are_refused(message_with):
    text = message_with("boundary.lower.x", [3, 1, 0])
    assert text.startswith("c.yaml: boundary.lower: x and y must be at right angles, got [3, 1, 0]")
    assert "dot product 6" in text
    text = message_with("boundary.upper.z", [0, 0, -1])
    assert text.startswith("c.yaml: boundary.upper: must be right-handed")


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("network.num_levels", 100_000_000_000, "must be at most 10"),
        ("budget.rounds", 1_000_000_000, "must be at most 10000"),
        ("boundary.replicas", [1_000_000, 1], "must be at most 1000"),
        ("seed", 2**63, "must be less than 9.22337e+18"),
        ("search.num_tries", 10**30, "must be at most 1e+09"),
        ("boundary.lower.x", [300, -100, 0], "must be at most 200"),
        ("training.learning_rate", 1e-300, "must be at least 1e-12"),
        ("search.perturbation", 1e300, "must be at most 1e+12"),
    ],
)
def test_numbers_that_no_machine_could_carry_out_are_refused(message_with, key, value, expected):
    assert expected in message_with(key, value)


def test_a_wrong_item_of_a_list_is_named(message_with):
    assert (
        message_with("voxels.shape", [12, "12", 72])
        == "c.yaml: voxels.shape[1]: must be a whole number, got '12'"
    )


def test_a_long_value_is_cut_short(message_with):
    assert (
        message_with("seed", "1" * 500)
        == f"c.yaml: seed: must be a whole number, got '{'1' * 56}..."
    )


def test_a_missing_key_is_named(message, minimal):
    assert (
        message(minimal.replace("search: {num_tries: 60}\n", ""))
        == "c.yaml: search: is required but missing"
    )


def test_a_misspelt_required_key_is_one_problem_not_two(message, minimal):
    assert (
        message(minimal.replace("num_tries", "num_trys"))
        == "c.yaml: search.num_trys: unknown key, did you mean num_tries?"
    )


def test_braces_in_a_value_are_shown_as_they_are(message_with):
    assert message_with("potential.pair_coeff", "{files}").endswith("got '{files}'")


def test_a_potential_without_a_file_is_fine(load, minimal):
    assert (
        load(minimal, "potential={pair_style: lj/cut 5, pair_coeff: '* * 1 2'}").potential.file
        is None
    )


@pytest.mark.parametrize(
    "lines", ["['1 1 zbl 73 73', '* * snap']", '"1 1 zbl 73 73\\n\\n* * snap\\n"']
)
def test_several_pair_coeff_commands_are_a_list_or_a_text_of_several_lines(load, minimal, lines):
    potential = load(minimal, f"potential={{pair_style: hybrid, pair_coeff: {lines}}}").potential
    assert potential.coefficients == ("1 1 zbl 73 73", "* * snap")


@pytest.mark.parametrize(
    "command", ["shell rm -r x", "include x", "python f", "", "neighbor 2.0 bin", "jump x"]
)
def test_only_commands_that_tune_a_potential_may_follow_it(message_with, command):
    names = "pair_modify, comm_modify, neigh_modify"
    expected = f"c.yaml: potential.commands: must begin with one of {names}, got {command!r}"
    assert message_with("potential.commands", ["pair_modify shift yes", command]) == expected


def test_pair_coeff_is_text_or_a_list_of_texts(message_with):
    expected = "c.yaml: potential.pair_coeff: must be text or a list, got 5"
    assert message_with("potential.pair_coeff", 5) == expected


def test_the_plateau_schedule_needs_a_validation_share(message, minimal):
    text = message(
        minimal, "training.learning_rate_schedule=plateau", "training.validation_share=0"
    )
    assert (
        text == "--set: training.validation_share: must be greater than 0 for the plateau schedule,"
        " got 0"
    )


def test_the_selection_window_must_be_open(message, minimal):
    text = message(minimal, "selection={min_energy_j_m2: 2.8, max_energy_j_m2: 2.6}")
    assert (
        text == "--set: selection.min_energy_j_m2: must be less than max_energy_j_m2, 2.6, got 2.8"
    )


@pytest.mark.parametrize("change", ["diffusion.conditional=false", "diffusion.condition_dropout=0"])
def test_guidance_needs_a_model_that_knows_both_with_and_without_condition(
    message, minimal, change
):
    text = message(minimal, change, "sampling.guidance=2")
    needs = "without diffusion.conditional: true and a diffusion.condition_dropout greater than 0"
    assert text == f"--set: sampling.guidance: must be 0 or 1 {needs}, got 2"


def test_more_levels_need_rounder_heights(message, minimal):
    text = message(minimal, "network.num_levels=3", "voxels.shape=[12, 12, 76]")
    assert (
        text == "--set: voxels.shape: must be a multiple of 8 along z for network.patch 2 and"
        " network.num_levels 3, got 76"
    )


def test_configs_are_frozen(load):
    config = load()
    with pytest.raises(ValidationError, match="frozen"):
        config.seed = 1
    with pytest.raises(ValidationError, match="frozen"):
        config.search.md.probability = 1


def test_configs_built_in_code_are_validated_too():
    with pytest.raises(ValidationError, match="must be less than max_energy_j_m2"):
        SelectionConfig(min_energy_j_m2=3, max_energy_j_m2=2)


def test_every_section_has_a_docstring_and_valid_defaults(load):
    config = load()
    for name, section in config:
        if hasattr(section, "model_dump"):
            assert type(section).__doc__
            assert type(section).model_validate(section.model_dump()) == section, name


def test_one_key_of_a_section_leaves_the_defaults_of_the_others(load):
    def sections(section: type[Section]) -> Iterator[type[Section]]:
        yield section
        for field in section.model_fields.values():
            if (inner := section_of(field.annotation)) is not None:
                yield from sections(inner)

    for section in sections(CampaignConfig):
        for name, field in section.model_fields.items():
            if isinstance(field.default, Section):
                assert field.default == type(field.default)(), f"{section.__name__}.{name}"
    changed = load(MINIMAL, "explore.md.timestep_ps=0.001").explore.md
    usual = load().explore.md
    assert changed == usual.model_copy(update={"timestep_ps": 0.001}) != usual


def test_lengths_and_energies_that_are_not_in_angstrom_and_ev_say_so():
    ambiguous = [
        path
        for path in fields(CampaignConfig)
        if path[-1] in ("energy", "time", "temperature", "window", "margin")
    ]
    assert not ambiguous
