"""Damaged and hostile files of candidates: every reader gives the sound answer or one sentence."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from gcd_hpc.browse.listing import list_rows
from gcd_hpc.browse.page.contents import Contents
from gcd_hpc.browse.tables import find_top
from gcd_hpc.config.loader import load_campaign
from gcd_hpc.errors import GcdError
from gcd_hpc.store.checksums import (
    checksum,
    row_checksums,
    seal,
)
from gcd_hpc.store.export import export
from gcd_hpc.store.findings import Report
from gcd_hpc.store.merge import merge
from gcd_hpc.store.parts import read_part, write_part
from gcd_hpc.store.provenance import campaign_provenance
from gcd_hpc.store.run import open_run
from gcd_hpc.store.schema import FIELDS, SCHEMA_VERSION
from gcd_hpc.store.verify import verify_file
from tests.fuzz.harness import few_and_many, mutations, outcome
from tests.store.synthetic import make_candidate

CAMPAIGN = Path(__file__).parents[2] / "campaigns/smoke.yaml"
ALIASES = "a: &a [1, 1]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)}, *{chr(97 + i)}]\n" for i in range(20)
)
CONFIGS = (ALIASES, "[" * 3000, "name: [", "boundary: 3", "name: {a: 1}", "", "\x1b]0;x\x07", "1")
NUMBERS = (float("nan"), float("inf"), -1, 0, 1, 2**62, -(2**62), 1e300, 1e-300)
TEXTS = ("", "../../x", "/tmp/x", "a b", "\x1b[31m", "=1+1", "ok", "model", "x" * 5000, "Ø")


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    """Candidates of every status with a real config."""
    rows = [make_candidate(i, num_atoms=12) for i in range(6)]
    rows += [replace(make_candidate(6), status="failed", reason="atoms overlap")]
    rows += [make_candidate(i, "model", 1, num_atoms=9) for i in range(3)]
    path = tmp_path_factory.mktemp("sound") / "sound.h5"
    write_part(path, rows, campaign_provenance(load_campaign(CAMPAIGN)))
    return path


def answers(path: Path) -> dict[str, list[str]]:
    """What each reader says of a file: a digest of its answer, or its sentence."""
    folder = path.parent
    readers: dict[str, Callable[[], Any]] = {
        "part": lambda: [repr(vars(row)) for row in read_part(path)],
        "row": lambda: repr(vars(read_part(path, [2])[0])),
        "top": lambda: find_top(open_run(path), per_n=True).records,
        "ls": lambda: list_rows(open_run(path), sort="energy", num=0).records,
        "extxyz": lambda: _exported(path, "extxyz", folder / "out.xyz"),
        "csv": lambda: _exported(path, "csv", folder / "out.csv"),
        "poscar": lambda: _exported(path, "poscar", folder / "out"),
        "page": lambda: _page(path),
        "merge": lambda: merge([path], folder / "merged.h5").record(),
        "verify": lambda: _verified(path),
    }
    found = {}
    for name, read in readers.items():
        try:
            found[name] = ["answer", hashlib.sha256(repr(read()).encode()).hexdigest()]
        except GcdError as error:
            found[name] = ["refused", str(error)]
    return found


def _exported(path: Path, form: str, out: Path) -> list[str]:
    export(open_run(path), form, out)
    files = sorted(out.iterdir()) if out.is_dir() else [out]
    return [file.name + file.read_text() for file in files]


def _page(path: Path) -> list[Any]:
    contents = Contents(path)
    pages = [contents.state(), contents.page("", "energy", False, 0, 50), contents.points("")]
    pages = [{**page, "version": "", "path": ""} for page in pages]
    return json.loads(json.dumps([*pages, contents.structure("search-000002")]))


def _verified(path: Path) -> list[str]:
    report = Report()
    verify_file(path, report)
    return [finding.check for finding in report.findings()]


def check(path: Path, content: bytes | None, expected: dict[str, list[str]], what: str) -> None:
    """Nothing but the sound answer or sentences; where ``content`` has right checksums, any answer.

    Args:
        content: what to write there first, damaged at random.
    """
    if content is not None:
        path.write_bytes(content)
    for name, (kind, text) in outcome(lambda: answers(path), what).value.items():
        if kind == "refused":
            assert "\n" not in text and len(text) < 2000 and text.isprintable(), (what, name, text)
        elif content is not None and name != "verify":
            assert text == expected[name][1], f"{what}: another answer of {name}"
    left = {one.name for one in path.parent.iterdir()}
    assert left <= {path.name, "out.xyz", "out.csv", "out", "merged.h5"}, what


@few_and_many(1200)
def test_damaged_bytes_give_the_sound_answer_or_a_sentence(sound, tmp_path, num):
    path = tmp_path / "damaged.h5"
    path.write_bytes(sound.read_bytes())
    expected = answers(path)
    assert {kind for kind, _ in expected.values()} == {"answer"}, expected
    for index, content in enumerate(mutations(sound.read_bytes(), num, 20, is_text=False)):
        check(path, content, expected, f"damaged {index}")


@few_and_many(800)
def test_hostile_files_with_right_checksums_give_an_answer_or_a_sentence(sound, tmp_path, num):
    path = tmp_path / "hostile.h5"
    for index in range(num // 2):
        rng = np.random.default_rng([21, index])
        for kind in (_other_values, _other_structure):
            path.write_bytes(sound.read_bytes())
            with h5py.File(path, "r+") as file:
                what = kind(file, rng)
            check(path, None, {}, f"{kind.__name__} {index}: {what}")


def _other_values(file: h5py.File, rng: np.random.Generator) -> str:
    """One to three values of rows or atoms, as anybody can write them with checksums that fit."""
    said = []
    for _ in range(rng.choice([1, 1, 3])):
        field = FIELDS[rng.integers(len(FIELDS))]
        dataset = file[field.path]
        place = int(rng.integers(len(dataset)))
        choices = TEXTS if field.kind == "text" else NUMBERS
        value = choices[rng.integers(len(choices))]
        if field.kind in ("int", "bool"):
            value = int(np.clip(np.nan_to_num(value), -(2**62), 2**62))
            value = bool(value % 2) if field.kind == "bool" else value
        dataset[place] = value
        said.append(f"{field.path}[{place}] = {value!r:.40}")
    _check_anew(file)
    return ", ".join(said)


def _check_anew(file: h5py.File) -> None:
    columns = {}
    for field in FIELDS:
        values = file[field.path][...]
        if field.kind == "text":
            values = np.array([text.decode() for text in values], dtype=object)
        columns[field.name] = values
    counts = columns["num_atoms"]
    if (counts >= 0).all() and counts.sum() == len(columns["positions"]):
        file["structures/crc32"][...] = row_checksums(columns, SCHEMA_VERSION)
    for field in FIELDS:
        file[field.path].attrs["crc32"] = np.int64(checksum(columns[field.name]))
    file["structures/crc32"].attrs["crc32"] = np.int64(checksum(file["structures/crc32"][...]))


def _other_structure(file: h5py.File, rng: np.random.Generator) -> str:
    """A dataset of another type, length or place, or another attribute."""
    field = FIELDS[rng.integers(len(FIELDS))]
    name, length = field.path, len(file[field.path])
    attributes = dict(file[name].attrs)
    kind = int(rng.integers(12))
    if kind < 9:
        del file[name]
    match kind:
        case 0:
            file.create_dataset(name, data=h5py.Empty("<f8"))
        case 1:
            file.create_dataset(name, (10**11, *field.shape), "<f8", chunks=True)
        case 2:
            file.create_dataset(name, (length, *field.shape), "<f4")
        case 3:
            file.create_dataset(name, (max(0, length - 1), *field.shape), "<f8")
        case 4:
            file.create_dataset(name, (length, 7), "<f8")
        case 5:
            file.create_group(name)
        case 6:
            file[name] = h5py.SoftLink("/nowhere")
        case 7:
            file[name] = h5py.ExternalLink("/etc/passwd", "/")
        case 8:
            file.create_dataset(name, data=["x"] * length)
        case 9:
            del file[name].attrs["crc32"]
        case 10:
            file.attrs["config"] = CONFIGS[rng.integers(len(CONFIGS))]
            seal(file)
        case 11:
            file.attrs["schema_version"] = [0, 1, 2, 3, 99, -1, "x", np.nan][rng.integers(8)]
            seal(file)
    if isinstance(file.get(name), h5py.Dataset) and kind < 9:
        file[name].attrs.update(attributes)
    return f"{kind} of {name}"
