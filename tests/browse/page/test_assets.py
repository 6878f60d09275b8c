"""Scripts of the page, and the viewer that is not ours."""

import hashlib
import re
from importlib.resources import files

import numpy as np
import pytest

from gcd_hpc.browse.page.assets import SCRIPTS, SET_SCRIPTS, VIEWER, asset

FOLDER = files("gcd_hpc.browse.page")
SHA256 = "f7cc78921ae72e7623e89cdd111434f58c2efddd2ffda1cd212644b406fb8016"
"""package/build/3Dmol-min.js in https://registry.npmjs.org/3dmol/-/3dmol-2.5.5.tgz"""


def test_the_viewer_is_the_published_one_with_its_licence_beside_it():
    content = (FOLDER / "vendor" / VIEWER).read_bytes()
    assert hashlib.sha256(content).hexdigest() == SHA256
    licence = (FOLDER / "vendor" / "LICENSE-3Dmol").read_text()
    assert "University of Pittsburgh" in licence and "BSD-3-Clause" in licence


def colours_of(name):
    """Red, green and blue of each colour of a list of colours.js, (N, 3), 0 to 1."""
    (found,) = re.findall(rf"const {name} = \[(.*?)\];", asset("colours.js"))
    numbers = [int(colour, 16) for colour in re.findall(r"#([0-9a-f]{6})", found)]
    return np.array([[number >> 16, number >> 8 & 255, number & 255] for number in numbers]) / 255


@pytest.mark.parametrize("name", ["GRAIN_COLOURS", "KIND_COLOURS", "RAMP"])
def test_colours_of_atoms_differ_in_greyscale(name):
    lightness = np.sort(lightness_of(colours_of(name)))
    # Neighbours of a scale may be alike; categories must be told apart without colours.
    assert np.diff(lightness).min() > (3 if name == "RAMP" else 8)


def lightness_of(colours):
    """Lightness L* of sRGB colours, 0 to 100, by CIE 1976."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    return 116 * np.cbrt(linear @ [0.2126, 0.7152, 0.0722]) - 16


def test_every_script_is_loaded_and_is_short():
    scripts = {path.name for path in (FOLDER / "static").iterdir() if path.name.endswith(".js")}
    assert scripts == {*SCRIPTS, *SET_SCRIPTS}
    assert max(len(asset(name).splitlines()) for name in scripts) <= 400
