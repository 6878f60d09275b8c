"""Scripts of the page, and the viewer that is not ours."""

import hashlib
from importlib.resources import files

from gcd_hpc.browse.page.assets import SCRIPTS, SET_SCRIPTS, VIEWER, asset

FOLDER = files("gcd_hpc.browse.page")
SHA256 = "f7cc78921ae72e7623e89cdd111434f58c2efddd2ffda1cd212644b406fb8016"
"""package/build/3Dmol-min.js in https://registry.npmjs.org/3dmol/-/3dmol-2.5.5.tgz"""


def test_the_viewer_is_the_published_one_with_its_licence_beside_it():
    content = (FOLDER / "vendor" / VIEWER).read_bytes()
    assert hashlib.sha256(content).hexdigest() == SHA256
    licence = (FOLDER / "vendor" / "LICENSE-3Dmol").read_text()
    assert "University of Pittsburgh" in licence and "BSD-3-Clause" in licence


def test_every_script_is_loaded_and_is_short():
    scripts = {path.name for path in (FOLDER / "static").iterdir() if path.name.endswith(".js")}
    assert scripts == {*SCRIPTS, *SET_SCRIPTS}
    assert max(len(asset(name).splitlines()) for name in scripts) <= 400
