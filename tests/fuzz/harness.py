"""Damaged files and what may happen to whoever reads them: an answer, or one sentence.

``mutations`` damages the bytes of a sound file in a reproducible way; ``outcome`` reads the result
in a process of its own and fails on a traceback, a hang and an allocation beyond 1 GB.
``few_and_many`` says how many files a kind gets: a sample in every run of the tests, all of them
under the marker ``slow``.
"""

import gc
import json
import os
import re
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import pytest

from gcd_hpc.errors import GcdError

Case = TypeVar("Case")
SAMPLE = 12
"""Files of each kind in every run of the tests, more than 200 in all."""
HANG_S = 30.0
"""Processor time after which a reader counts as hung; reading a sound file takes milliseconds."""
MAX_BYTES = 2**30
"""What a reader may allocate beyond what its process holds when it starts."""
NASTY_NUMBERS = (
    *("-1", "0", "1e999", "-1e999", "nan", "inf", "2.5", "1" + 30 * "0", "1" + 5000 * "0"),
    *("0x10", "1_000", "''", "null", "true", "[]", "{}", "\N{DEVANAGARI DIGIT TWO}", "2147483648"),
)
NASTY_BYTES = (
    b"\x00",
    b"\xff\xfe",
    b"\x1b[31m",
    b"\t",
    b"\r",
    b'"',
    b"'",
    b"{",
    b"[",
    b"&a ",
    b"*a ",
)


@dataclass(frozen=True)
class Outcome:
    """How reading a file ended: with a value, or with the sentence of an error of ours."""

    kind: Literal["answer", "refused"]
    value: Any
    """What the reader returned, as JSON keeps it; or the sentence."""


def few_and_many(many: int) -> pytest.MarkDecorator:
    """Parametrizes ``num``: a sample by default, ``many`` files under the marker ``slow``."""
    return pytest.mark.parametrize("num", [SAMPLE, pytest.param(many, marks=pytest.mark.slow)])


def few_and_all() -> pytest.MarkDecorator:
    """Parametrizes ``num``: a sample by default, as many as there are under the marker ``slow``."""
    return few_and_many(sys.maxsize)


def drawn(cases: Iterable[Case], num: int, seed: int) -> list[Case]:
    """``num`` of the cases, or all if there are fewer, in an order that only the seed decides."""
    found = list(cases)
    order = np.random.default_rng(seed).permutation(len(found))
    return [found[index] for index in order[:num]]


def mutations(content: bytes, num: int, seed: int, is_text: bool) -> Iterator[bytes]:
    """``num`` damaged copies of a file; mutation ``i`` depends on nothing but the seed and ``i``.

    Args:
        content: a sound file.
        is_text: whether lines and numbers are damaged too, and not only bytes.
    """
    kinds = [_flip, _cut, _hole, _insert, _repeat]
    if is_text:
        kinds += [_drop_line, _double_line, _swap_lines, _replace_number, _replace_word]
    for index in range(num):
        rng = np.random.default_rng([seed, index])
        damaged = content
        # Most files have one fault, some have a few.
        for _ in range(rng.choice([1, 1, 1, 2, 4])):
            damaged = kinds[rng.integers(len(kinds))](damaged, rng)
        yield damaged


def outcome(read: Callable[[], Any], what: object) -> Outcome:
    """What ``read`` returns or refuses, found out in a forked process with limits.

    Args:
        read: reads one file; its result must be JSON.
        what: names the case if it fails.

    Raises:
        AssertionError: on a traceback, a hang or too large an allocation, with the details.
    """
    receiver, sender = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(receiver)
        _answer(read, sender)
    os.close(sender)
    deadline = time.monotonic() + 20 * HANG_S
    try:
        message = _receive(receiver, deadline)
    finally:
        os.close(receiver)
        if message_is_late := not _has_ended(pid, deadline):
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    assert not message_is_late, f"{what}: gives no answer"
    assert message, f"{what}: the reader ended with status {status}: a hang, or a crash"
    kind, value = json.loads(message)
    assert kind != "traceback", f"{what}:\n{value}"
    if kind == "refused":
        assert "\n" not in value.strip(), f"{what}: more than a sentence: {value!r}"
        assert len(value) < 2000, f"{what}: a message of {len(value)} characters"
        assert value.isprintable(), f"{what}: control characters in {value!r}"
    return Outcome(kind, value)


def write(folder: Path, name: str, content: bytes) -> Path:
    """A damaged file in a folder of the test."""
    path = folder / name
    path.write_bytes(content)
    return path


def _answer(read: Callable[[], Any], sender: int) -> None:
    """Runs in the forked process, and ends it."""
    gc.freeze()  # else its garbage collection would copy all memory that it shares with its parent
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + MAX_BYTES, held + MAX_BYTES))
    spent = time.process_time()
    resource.setrlimit(resource.RLIMIT_CPU, (int(spent + HANG_S) + 1, int(spent + HANG_S) + 2))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Warnings are errors in the tests; a reader of damaged files may warn.
    try:
        message = ["answer", read()]
    except GcdError as error:
        message = ["refused", str(error)]
    except BaseException:
        message = ["traceback", traceback.format_exc()[-6000:]]
    try:
        with os.fdopen(sender, "wb") as pipe:
            pipe.write(json.dumps(message).encode())
    finally:
        os._exit(0)


def _receive(receiver: int, deadline: float) -> bytes:
    pieces = []
    while (left := deadline - time.monotonic()) > 0 and select.select([receiver], [], [], left)[0]:
        piece = os.read(receiver, 1 << 16)
        if not piece:
            break
        pieces.append(piece)
    return b"".join(pieces)


def _has_ended(pid: int, deadline: float) -> bool:
    """Whether a child ends before a time; it is left to be waited for.

    On a busy machine it may take seconds to end after it has answered.
    """
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


def _place(content: bytes, rng: np.random.Generator) -> int:
    return int(rng.integers(len(content))) if content else 0


def _flip(content: bytes, rng: np.random.Generator) -> bytes:
    if not content:
        return content
    place = _place(content, rng)
    return content[:place] + bytes([content[place] ^ 1 << rng.integers(8)]) + content[place + 1 :]


def _cut(content: bytes, rng: np.random.Generator) -> bytes:
    return content[: _place(content, rng)]


def _hole(content: bytes, rng: np.random.Generator) -> bytes:
    place, size = _place(content, rng), int(rng.integers(1, 600))
    return content[:place] + bytes(min(size, len(content) - place)) + content[place + size :]


def _insert(content: bytes, rng: np.random.Generator) -> bytes:
    place = _place(content, rng)
    return content[:place] + NASTY_BYTES[rng.integers(len(NASTY_BYTES))] + content[place:]


def _repeat(content: bytes, rng: np.random.Generator) -> bytes:
    place, size = _place(content, rng), int(rng.integers(1, 300))
    return content[: place + size] + content[place:]


def _drop_line(content: bytes, rng: np.random.Generator) -> bytes:
    lines = content.splitlines(keepends=True)
    if lines:
        del lines[rng.integers(len(lines))]
    return b"".join(lines)


def _double_line(content: bytes, rng: np.random.Generator) -> bytes:
    lines = content.splitlines(keepends=True)
    if lines:
        index = int(rng.integers(len(lines)))
        lines.insert(index, lines[index])
    return b"".join(lines)


def _swap_lines(content: bytes, rng: np.random.Generator) -> bytes:
    lines = content.splitlines(keepends=True)
    if lines:
        one, two = rng.integers(len(lines), size=2)
        lines[one], lines[two] = lines[two], lines[one]
    return b"".join(lines)


def _replace_number(content: bytes, rng: np.random.Generator) -> bytes:
    return _replace(content, rb"-?\d+(\.\d+)?(e-?\d+)?", rng)


def _replace_word(content: bytes, rng: np.random.Generator) -> bytes:
    return _replace(content, rb"[A-Za-z_]{2,}", rng)


def _replace(content: bytes, pattern: bytes, rng: np.random.Generator) -> bytes:
    found = list(re.finditer(pattern, content))
    if not found:
        return content
    match = found[rng.integers(len(found))]
    new = NASTY_NUMBERS[rng.integers(len(NASTY_NUMBERS))].encode()
    return content[: match.start()] + new + content[match.end() :]
