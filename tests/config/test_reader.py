import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gcd_hpc.config.reader import dotted, parse, write
from gcd_hpc.errors import ConfigError


def problem(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text, "f.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1E+4", 10000),
        ("-1.5e3", -1500.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("-3", -3),
        ("0", 0),
        (".inf", math.inf),
        ("-.inf", -math.inf),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        # Text here, though other readers make 43200, 8, False, 1000 and a date of it.
        ("12:00:00", "12:00:00"),
        ("010", "010"),
        ("no", "no"),
        ("on", "on"),
        ("1_000", "1_000"),
        ("2026-11-21", "2026-11-21"),
        ("0x1f", "0x1f"),
        ("'1e-4'", "1e-4"),
        ('"true"', "true"),
        ("=", "="),
        ("<<", "<<"),
    ],
)
def test_a_scalar_means_what_it_looks_like(text, value):
    assert parse(text, "f.yaml") == value
    assert type(parse(text, "f.yaml")) is type(value)


def test_not_a_number_is_read():
    assert math.isnan(parse(".nan", "f.yaml"))


@pytest.mark.parametrize("key", ["no", "1", "null", "12:00"])
def test_keys_are_always_text(key):
    assert parse(f"{key}: 1", "f.yaml") == {key: 1}


def test_a_repeated_key_names_its_path_and_both_lines():
    assert (
        problem("a:\n  b: 1\n  c: 2\n  b: 3\n")
        == "f.yaml: a.b: is given twice, in lines 2 and 4: keep one"
    )


def test_a_repeated_key_within_a_list_names_the_item():
    assert problem("a: [{b: 1}, {b: 1, b: 2}]").startswith("f.yaml: a[1].b: is given twice")


def test_bad_syntax_names_line_and_column():
    assert problem("a: 1\nb: [1, 2\nc: 3\n").startswith(
        "f.yaml: line 3, column 2: is not valid YAML: "
    )


def test_a_tab_that_indents_names_its_line():
    assert problem("a:\n\tb: 1\n").startswith("f.yaml: line 2, column 1: is not valid YAML: ")


def test_a_second_document_is_refused():
    assert problem("a: 1\n---\nb: 1\n").startswith("f.yaml: line 2, column 1: is not valid YAML: ")


def test_a_control_character_is_refused():
    assert problem("a: \x07").startswith(
        "f.yaml: is not valid YAML: special characters are not allowed (character 4)"
    )


def test_an_alias_is_refused_with_its_place():
    assert (
        problem("a: &x [1]\nb: *x\n")
        == "f.yaml: line 2, column 4: aliases are not supported, got *x: repeat the value"
    )


@pytest.mark.parametrize("tag", ["!!python/object:os.system", "!mine", "!!set", "!!binary"])
def test_a_tag_is_refused_with_the_path_of_its_key(tag):
    assert problem(f"a: {{b: {tag} x}}").startswith("f.yaml: a.b: tags are not supported, got ")


@pytest.mark.parametrize(
    "text",
    [5000 * "[", "a: " + 5000 * "{a: ", "".join(" " * n + "a:\n" for n in range(300))],
    ids=["lists", "mappings", "blocks"],
)
def test_deep_nesting_is_refused_with_its_place(text):
    assert "must be nested at most 50 levels deep" in problem(text)


@pytest.mark.parametrize("number", ["1" + 5000 * "0", "0." + 5000 * "1", "-1" + 500 * "0"])
def test_a_number_of_thousands_of_digits_is_refused(number):
    assert problem(f"a: {{b: {number}}}").startswith("f.yaml: a.b: must have at most 400 digits")


def test_a_list_as_a_key_is_refused():
    assert (
        problem("a:\n  [1, 2]: 3\n")
        == "f.yaml: a: a key must be text, got a list or mapping in line 2"
    )


def test_paths_are_written_with_dots_and_brackets():
    assert dotted(("voxels", "shape", 2)) == "voxels.shape[2]"


# Surrogates have no UTF-8; the reader refuses control characters, which the writer escapes within
# quotes.
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | words
numbers = ["1e-4", "010", "0x1", "1_0", ".5", "12:00:00", "2026-11-21"]
look_alikes = st.sampled_from(
    [*numbers, "no", "yes", "true", "null", "~", "", "*", "&a", "!x", "<<", "=", "- a"]
)


@given(st.dictionaries(words, scalars | look_alikes | st.lists(scalars, max_size=3), max_size=4))
def test_what_is_written_reads_back_unchanged(data):
    assert parse(write(data), "f.yaml") == data


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_read_back_bit_for_bit(number):
    assert float(parse(write({"a": number}), "f.yaml")["a"]).hex() == number.hex()


@given(words)
def test_any_text_is_a_value_or_a_config_error(text):
    try:
        parse(text, "f.yaml")
        answer = "f.yaml is fine"
    except ConfigError as error:
        answer = str(error)
    assert answer.startswith("f.yaml")


@given(st.dictionaries(words | look_alikes, scalars | look_alikes, max_size=4))
def test_other_readers_of_yaml_read_what_is_written(data):
    assert yaml.safe_load(write(data)) == data
