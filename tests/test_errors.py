import inspect
import pickle

import pytest

from gcd_hpc import errors
from gcd_hpc.errors import ConfigError, GcdError, reason_of

CLASSES = [
    member
    for _, member in inspect.getmembers(errors, inspect.isclass)
    if issubclass(member, Exception)
]


def example(error: type[Exception]) -> Exception:
    """One instance, with as many texts as its constructor takes."""
    if error.__init__ is Exception.__init__:
        return error("a sentence with expected and got")
    return error(*(f"text {index}" for index in range(len(inspect.signature(error).parameters))))


@pytest.mark.parametrize("error", CLASSES)
def test_every_error_survives_pickling(error):
    before = example(error)
    after = pickle.loads(pickle.dumps(before))
    assert type(after) is error
    assert after.args == before.args
    assert str(after) == str(before)


@pytest.mark.parametrize("error", CLASSES)
def test_every_error_is_a_mistake_that_ends_the_command_with_code_2(error):
    assert issubclass(error, GcdError)
    assert error.exit_code == 2


@pytest.mark.parametrize("error", CLASSES)
def test_every_error_says_when_it_is_raised(error):
    assert error.__doc__


def test_a_config_error_names_the_file_the_key_and_the_problem():
    assert (
        str(ConfigError("a.yaml", "search.num_tries", "is required but missing"))
        == "a.yaml: search.num_tries: is required but missing"
    )


def test_a_config_error_of_a_whole_file_names_no_key():
    assert (
        str(ConfigError("a.yaml", "", "there is no such file")) == "a.yaml: there is no such file"
    )


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("a\x00b\n  c", "a b c"),
        ("", "ValueError"),
        ("\x1b\x07", "ValueError"),
        ("é" * 999, "é" * 200),
    ],
)
def test_the_reason_of_an_error_of_another_package_is_one_printable_line(said, reason):
    assert reason_of(ValueError(said)) == reason
