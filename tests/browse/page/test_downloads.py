"""What the browser gets to keep is what ASE reads back."""

import csv
import io
import zipfile
from typing import get_args

import ase.io
import numpy as np
import pytest

from gcd_hpc.browse.page.downloads import download_one, download_selection
from gcd_hpc.errors import StoreError
from gcd_hpc.store.export import Format
from gcd_hpc.store.run import open_run
from tests.browse.page.conftest import BEST


def test_one_structure_comes_back_as_it_was(contents, run):
    name, content = download_one(contents, "extxyz", BEST)
    (candidate,) = open_run(run)[[BEST]]
    atoms = ase.io.read(io.StringIO(content.decode()), format="extxyz")
    assert name == f"{BEST}.xyz"
    np.testing.assert_allclose(atoms.positions, candidate.positions, atol=1e-7)  # eight decimals


@pytest.mark.parametrize("form", get_args(Format))
def test_every_format_can_be_downloaded(contents, form):
    name, content = download_one(contents, form, BEST)
    assert name.startswith(BEST) and "/" not in name and len(content) > 100


def test_a_selection_of_structures_leaves_out_what_was_not_relaxed(contents):
    name, content = download_selection(contents, "extxyz", "source=search")
    atoms = ase.io.read(io.StringIO(content.decode()), ":", format="extxyz")
    assert name == "selection.xyz" and len(atoms) == 18


def test_a_selection_as_a_table_has_failed_ones_too(contents):
    name, content = download_selection(contents, "csv", "source=search")
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    assert (
        name == "selection.csv"
        and len(rows) == 20
        and sum(row["status"] == "failed" for row in rows) == 2
    )


def test_several_files_come_in_a_zip(contents):
    name, content = download_selection(contents, "poscar", "n=0.2")
    assert name == "selection.zip"
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert len(archive.namelist()) == 6
        for member in archive.namelist():
            assert len(ase.io.read(io.StringIO(archive.read(member).decode()), format="vasp")) == 32


@pytest.mark.parametrize("selection", ["energy>100", "status=failed"])
def test_nothing_to_download_is_said(contents, selection):
    with pytest.raises(StoreError, match="there is no relaxed structure"):
        download_selection(contents, "extxyz", selection)


def test_too_many_structures_are_left_to_the_terminal(contents, monkeypatch):
    monkeypatch.setattr("gcd_hpc.browse.page.downloads.MAX_STRUCTURES", 10)
    with pytest.raises(StoreError, match=r"at most 10 structures, got 54; .*gcd-hpc export"):
        download_selection(contents, "extxyz", "")
