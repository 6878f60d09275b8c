"""The fuzz harness sees what it is there to see."""

import faulthandler
import os
import time

import pytest

from gcd_hpc.errors import StoreError
from tests.fuzz import harness
from tests.fuzz.harness import mutations, outcome


def test_an_answer_and_a_refusal_are_told_apart():
    def refuse() -> None:
        raise StoreError("x.h5: is cut short; copy it again")

    assert outcome(lambda: [1, "a"], "case").value == [1, "a"]
    assert outcome(refuse, "case") == harness.Outcome(
        "refused", "x.h5: is cut short; copy it again"
    )


def abort() -> None:
    faulthandler.disable()  # its report would look like a crash of the tests
    os.abort()


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (lambda: {}["missing"], "KeyError"),
        (lambda: len(bytearray(2 * harness.MAX_BYTES)), "MemoryError"),
        (abort, "a hang, or a crash"),
        (lambda: os.kill(os.getpid(), 9), "a hang, or a crash"),
    ],
    ids=["traceback", "allocation", "crash", "killed"],
)
def test_everything_else_fails(read, said):
    with pytest.raises(AssertionError, match=said):
        outcome(read, "case")


def test_a_hang_fails(monkeypatch):
    def spin() -> None:
        while True:
            time.process_time()

    monkeypatch.setattr(harness, "HANG_S", 0.5)
    with pytest.raises(AssertionError, match="a hang, or a crash"):
        outcome(spin, "case")


@pytest.mark.parametrize("is_text", [True, False])
def test_mutation_i_depends_on_the_seed_and_on_i_only(is_text):
    content = b"name: w\nseed: 12\nbox: [1.5, 2]\n" * 20
    many = list(mutations(content, 60, 3, is_text))
    assert many[:20] == list(mutations(content, 20, 3, is_text))
    assert sum(one != content for one in many) > 50
    assert len(set(many)) > 50
