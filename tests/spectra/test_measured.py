"""Import of measured spectra: the formats that are read, and what is refused in one sentence."""

import numpy as np
import pytest

from gcd_hpc.errors import StoreError
from gcd_hpc.spectra.measured import import_columns
from gcd_hpc.spectra.table_file import write_labelled
from gcd_hpc.spectra.target import read_target, write_target
from tests.spectra.tables import make_labelled

ENERGIES = np.linspace(280, 310, 31)
VALUES = 1 + np.sin(ENERGIES) ** 2
C_K = {"element": "C", "edge": "K"}

XDI = """# XDI/1.0 GSE/1.0
# Column.1: energy {unit}
# Column.2: i0
# Column.3: mutrans
# Element.edge: K
# Element.symbol: C
# Mono.d_spacing: 3.13555
# ///
# measured on a Friday
# -------------
# energy i0 mutrans
"""
ATHENA = """# XDI/1.0  Athena/0.9.26
# Element.symbol:    C
# Element.edge:      K
# Athena.e0: 285.3
# -----------
#  energy  norm  nbkg  flat  fbkg  nder  nsec
"""


def rows(*columns, separator=" "):
    return "".join(
        separator.join(f"{one:.10g}" for one in row) + "\n" for row in zip(*columns, strict=True)
    )


@pytest.fixture
def write(tmp_path):
    def write(text, name="measured.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


OTHER = np.linspace(5, 6, 31)
GOOD = {
    "XDI": (XDI.format(unit="eV") + rows(ENERGIES, OTHER, VALUES), {}),
    "XDI in keV": (XDI.format(unit="keV") + rows(ENERGIES / 1000, OTHER, VALUES), {}),
    "Athena": (ATHENA + rows(ENERGIES, VALUES, *[OTHER] * 5), {}),
    "CSV with names and units": (
        "Energy (eV),Absorption\n" + rows(ENERGIES, VALUES, separator=","),
        C_K,
    ),
    "CSV in keV": ("energy_keV,mu\n" + rows(ENERGIES / 1000, VALUES, separator=","), C_K),
    "CSV without names": (rows(ENERGIES, VALUES, separator=", "), C_K | {"unit": "eV"}),
    "decimal commas": (
        "energy_ev;mu\n" + rows(ENERGIES, VALUES, separator=";").replace(".", ","),
        C_K,
    ),
    "the energies last": (
        "norm,energy_ev\n" + rows(VALUES, ENERGIES, separator=","),
        C_K,
    ),
    "a named column of several": (
        "energy_ev,left,right\n" + rows(ENERGIES, OTHER, VALUES, separator=","),
        C_K | {"column": "right"},
    ),
    "a numbered column of several": (
        rows(ENERGIES, OTHER, VALUES),
        C_K | {"column": "3", "unit": "eV"},
    ),
    "transmitted and incident intensity": (
        "energy_ev i0 itrans\n" + rows(ENERGIES, OTHER, OTHER * np.exp(-VALUES)),
        C_K,
    ),
    "fluorescence and incident intensity": (
        "energy_ev i0 ifluor\n" + rows(ENERGIES, OTHER, OTHER * VALUES),
        C_K,
    ),
    "Windows' lines and a byte order mark": (
        ("\ufeffenergy_ev,mu\n" + rows(ENERGIES, VALUES, separator=",")).replace("\n", "\r\n"),
        C_K,
    ),
}


@pytest.mark.parametrize("what", GOOD)
def test_a_spectrum_is_read_from(what, write):
    text, options = GOOD[what]
    found = import_columns(write(text), **options)
    np.testing.assert_allclose(found.energies_ev, ENERGIES)
    np.testing.assert_allclose(found.values, VALUES, rtol=1e-8)
    assert (found.element, found.edge, found.source) == ("C", "K", "measured.csv")


def test_a_spectrum_without_energies_is_read_only_if_that_is_said(write):
    path = write(rows(VALUES))
    with pytest.raises(StoreError, match=r"measured\.csv: holds no energies, .* --unit bins"):
        import_columns(path, **C_K)
    found = import_columns(path, **C_K, unit="bins")
    assert found.energies_ev is None
    np.testing.assert_allclose(found.values, VALUES, rtol=1e-8)


def changed(line, text):
    """A good CSV file with one line, from 1, in the place of another."""
    lines = ("energy_ev,mu\n" + rows(ENERGIES, VALUES, separator=",")).splitlines()
    lines[line - 1] = text
    return "\n".join(lines) + "\n"


CSV = changed(1, "energy_ev,mu")
BAD = {
    "nothing": ("", {}, "holds no numbers"),
    "only names": ("energy_ev,mu\n", {}, "holds no numbers"),
    "binary rubbish": (bytes(range(256)) * 10, {}, "binary data .* CSV or XDI"),
    "an HDF5 file": (b"\x89HDF\r\n\x1a\n\0\0\0", {}, "binary data"),
    "text that is no table": ("one two\nthree four\n", {}, "line 2: 'three' is no finite number"),
    "NaN": (changed(6, "284,nan"), {}, "line 6: 'nan' is no finite number; mend or remove"),
    "infinity": (changed(6, "284,inf"), {}, "line 6: 'inf' is no finite number"),
    "a word": (changed(9, "287,high"), {}, "line 9: 'high' is no finite number"),
    "a missing cell": (changed(7, "285"), {}, "line 7: has 1 cells where the first row has 2"),
    "a row that falls": (changed(8, "279,1"), {}, "line 8: has a lower energy than the row above"),
    "an energy twice": (changed(8, "285,1"), {}, "line 8: has the same energy as the row above"),
    "too few points": ("energy_ev,mu\n1,2\n2,3\n", {}, "holds 2 points, .* at least 10"),
    "no unit": (rows(ENERGIES, VALUES), {}, "does not state the unit .* --unit eV or --unit keV"),
    "keV that are eV": (CSV.replace("_ev", "_kev"), {}, "of no X-ray edge; .* say --unit eV"),
    "eV that are keV": (
        "energy_ev,mu\n" + rows(ENERGIES / 1000, VALUES, separator=","),
        {},
        "0.28 to 0.31 eV are those of no X-ray edge; if they are in keV, say --unit keV",
    ),
    "a contradicting unit": (CSV, {"unit": "keV"}, "states its energies in eV, and --unit says"),
    "another unit": (
        XDI.replace("energy {unit}", "angle degrees") + rows(ENERGIES, OTHER, VALUES),
        {},
        "'angle degrees', is in degrees; convert it to energies",
    ),
    "another element": (
        XDI.format(unit="eV").replace("symbol: C", "symbol: Si") + rows(ENERGIES, OTHER, VALUES),
        {},
        "a spectrum of the element Si, and C was asked for; .* leave out --element",
    ),
    "another edge": (
        XDI.format(unit="eV").replace("edge: K", "edge: L3") + rows(ENERGIES, OTHER, VALUES),
        {},
        "a spectrum of the edge L3, and K was asked for",
    ),
    "no element": (CSV, {"element": None}, "does not state its element; say it with --element"),
    "no edge": (CSV, {"edge": None}, "does not state its edge; say it with --edge"),
    "an unknown element": (CSV, {"element": "Cq"}, "'Cq' is no chemical element"),
    "an unknown edge": (CSV, {"edge": "Q"}, "'Q' is no absorption edge"),
    "several columns": (
        "energy_ev,left,right\n" + rows(ENERGIES, OTHER, VALUES, separator=","),
        {},
        "which of its columns is the absorption; say it with --column",
    ),
    "an unknown column": (CSV, {"column": "nu"}, "has no column 'nu'; choose one of energy, mu"),
    "no incident intensity": (
        "energy_ev i0 itrans\n" + rows(ENERGIES, 0 * OTHER, OTHER),
        {},
        "line 2: itrans and i0 must be positive",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_a_file_is_refused_that_holds(what, write):
    text, options, reason = BAD[what]
    path = write(text)
    with pytest.raises(StoreError, match=rf"measured\.csv: .*{reason}") as refused:
        import_columns(path, **(C_K | options))
    assert "\n" not in str(refused.value)


def test_a_missing_file_or_a_folder_is_refused(tmp_path):
    with pytest.raises(StoreError, match="none: cannot be read: No such file"):
        import_columns(tmp_path / "none")
    with pytest.raises(StoreError, match="cannot be read: Is a directory"):
        import_columns(tmp_path)


@pytest.mark.parametrize("suffix", [".csv", ".h5"])
@pytest.mark.parametrize("unit", ["eV", "bins"])
def test_a_target_comes_back_from_its_file(suffix, unit, write, tmp_path):
    text = rows(ENERGIES, VALUES) if unit == "eV" else rows(VALUES)
    before = import_columns(write(text), **C_K, unit=unit)
    write_target(tmp_path / f"target{suffix}", before)
    after = read_target(tmp_path / f"target{suffix}")
    np.testing.assert_equal(after.energies_ev, before.energies_ev)
    np.testing.assert_equal(after.values, before.values)
    assert (after.element, after.edge) == ("C", "K")


def test_a_target_is_neither_another_format_nor_another_file_of_ours(tmp_path, write):
    with pytest.raises(StoreError, match=r"a target is a \.csv or \.h5 file"):
        write_target(tmp_path / "a.txt", import_columns(write(CSV), **C_K))
    write_labelled(tmp_path / "labelled.h5", make_labelled())
    with pytest.raises(StoreError, match="expected an HDF5 file of a target"):
        read_target(tmp_path / "labelled.h5")


@pytest.mark.parametrize("value", ["0", "-5", "1e308"])
def test_a_spectrum_without_a_positive_area_is_refused(tmp_path, value):
    text = "energy_ev,mu\n" + "".join(f"{280 + step},{value}\n" for step in range(40))
    path = tmp_path / "flat.csv"
    path.write_text(text)
    with pytest.raises(StoreError, match="must have a positive area"):
        import_columns(path, element="C", edge="K")
