"""What ``gcd-hpc check`` refuses and what it says of a sound file, without LAMMPS and torch."""

import sys
from pathlib import Path

import numpy as np
import pytest

from gcd_hpc.campaign import soundness
from gcd_hpc.campaign.soundness import inspect_campaign
from gcd_hpc.config.loader import load_campaign
from gcd_hpc.errors import ConfigError

CASES = Path(__file__).parents[1] / "config" / "cases"
# Key that the sentence names, and a word of what is wrong or how to mend it.
REFUSED = {
    "anchor2": ("line 18", "repeat the value"),
    "badstyle": ("potential.pair_style", "did you mean eam/alloy?"),
    "coarse": ("voxels.shape", "use more voxels"),
    "cutoff": ("relaxation.outer_thickness", "at least the reach of the potential, 7.89"),
    "elmis": ("potential", "use a potential of W"),
    "dup": ("seed", "keep one"),
    "elXx": ("boundary.element", "such as W or Cu"),
    "float_miller": ("boundary.lower.x[0]", "must be a whole number"),
    "incomm": ("boundary.max_strain", "choose other directions"),
    "latin": ("", "is not text in UTF-8"),
    "low": ("boundary.element", "such as W or Cu"),
    "merge": ("search.<<", "unknown key"),
    "miller_space": ("boundary.lower.x", "must be a whole number"),
    "miller_str": ("boundary.lower.x", "must be a list"),
    "multi": ("line 20", "another document"),
    "neg": ("boundary.lower", "turn the signs of one direction"),
    "no": ("boundary.lattice", "'bcc'"),
    "nonorth": ("boundary.lower", "at right angles"),
    "nopot": ("potential", "W_nothere.eam.alloy"),
    "quoted_num": ("search.num_tries", "must be a whole number"),
    "replicas": ("boundary", "lower boundary.replicas"),
    "tab": ("line 3", "\\t"),
    "tall": ("boundary.slab_heights", "raise voxels.shape[2]"),
    "thin": ("boundary.slab_heights", "must be 40 Å together"),
    "under": ("search.num_tries", "must be a whole number"),
    "utf16": ("", "is not text in UTF-8"),
}


def inspected(file: Path) -> soundness.Soundness:
    return inspect_campaign(load_campaign(file), file.parent, str(file))


def test_every_case_has_its_sentence():
    assert {path.stem for path in (CASES / "refused").iterdir()} == set(REFUSED)


@pytest.mark.lammps
@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_cannot_run_is_refused_with_file_key_and_cure(name):
    file = CASES / "refused" / f"{name}.yaml"
    with pytest.raises(ConfigError) as caught:
        inspected(file)
    key, text = REFUSED[name]
    first = str(caught.value)
    assert first.startswith(f"{file}: {key}")
    assert text in first


@pytest.mark.parametrize("file", sorted((CASES / "sound").iterdir()), ids=lambda path: path.stem)
def test_a_file_with_unusual_but_sound_yaml_is_called_sound(file):
    assert inspected(file).layout.warnings == ()


def test_grains_without_a_boundary_are_warned_of_because_their_crystal_can_be_measured():
    (warning,) = inspected(CASES / "identical.yaml").layout.warnings
    assert warning.startswith("boundary.upper: both grains have the same orientation")


def test_known_layers_have_to_hold_perfect_grain(tmp_path):
    """Layers of 0.83 Å; the slabs begin 2.9 Å above the bottom, the held layers end 8 Å higher."""
    text = (CASES / "sound" / "common.yaml").read_text()
    file = tmp_path / "campaign.yaml"
    file.write_text(text.replace("60]", "60]\n  known: 10"))
    (warning,) = inspected(file).layout.warnings
    assert "voxels.known: the known layers hold 5.5 Å of perfect grain" in warning
    file.write_text(text.replace("60]", "60]\n  known: 1"))
    with pytest.raises(ConfigError, match=r"voxels\.known: layers reach 0\.8 Å into the box"):
        inspected(file)


def test_an_image_that_cannot_be_read_is_refused_and_the_rest_of_it_is_said_to_be_open(tmp_path):
    target = "{file: a.npy, axis: x, pixel_a: 0.2, blur_a: 0.8, noise: 0.1}"
    file = tmp_path / "campaign.yaml"
    text = (CASES / "sound" / "common.yaml").read_text()
    file.write_text(f"{text}\nguidance: [{{property: image, target: {target}}}]\n")
    with pytest.raises(ConfigError, match=r"guidance\[0\]\.target\.file: there is no file"):
        inspected(file)
    (tmp_path / "a.npy").write_text("no array")
    with pytest.raises(ConfigError, match=r"guidance\[0\]\.target\.file: .* cannot be read as an"):
        inspected(file)
    np.save(tmp_path / "a.npy", np.random.default_rng(0).random((180, 60)))
    assert any("whether it shows this boundary" in line for line in inspected(file).unchecked)


def test_a_sound_file_is_described_by_its_boundary():
    text = "\n".join(inspected(CASES / "sound" / "common.yaml").lines())
    assert "Sigma 5 twist, 36.87 degrees about <0 0 1>, planes (0 0 1) on (0 0 1)" in text
    # The lattice constant of the potential file, 3.157 Å, times the square root of 10.
    assert "cell: 9.98 x 9.98 Å, area 99.7 Å^2" in text
    assert "[n]: in steps of 1/10" in text
    assert "270 atoms" in text
    assert "cutoff 7.89 Å" in text


@pytest.fixture
def own_file(monkeypatch, tmp_path) -> Path:
    """A campaign whose potential lies beside it, where LAMMPS is not installed."""
    monkeypatch.setitem(sys.modules, "lammps", None)
    text = (CASES / "sound" / "common.yaml").read_text()
    file = tmp_path / "campaign.yaml"
    file.write_text(text.replace("W_zhou.eam.alloy", "mine.eam.alloy"))
    return file


def write_potential(folder: Path, element: str) -> None:
    head = f"1\n2\n3\n1 {element}\n5 1.0 5 1.0 6.0\n74 183.84 3.165 BCC\n"
    (folder / "mine.eam.alloy").write_text(head)


def test_without_lammps_a_potential_of_ones_own_is_checked_but_for_its_style(own_file):
    write_potential(own_file.parent, "W")
    found = inspected(own_file)
    assert found.cutoff == 6.0
    assert found.unchecked[0].startswith("potential.pair_style: eam/alloy, because LAMMPS is not")
    write_potential(own_file.parent, "Cu")
    with pytest.raises(ConfigError, match="use a potential of W"):
        inspected(own_file)


def test_without_lammps_a_file_that_is_not_found_is_not_refused_because_lammps_may_ship_it(
    own_file,
):
    found = inspected(own_file)
    assert found.layout.num_atoms == 270
    assert found.unchecked[0].startswith("potential: mine.eam.alloy (its element and cutoff)")
    assert "pip install" in found.unchecked[0]
    own_file.write_text(own_file.read_text().replace("{file} W", "{file} Cu"))
    with pytest.raises(ConfigError, match="use a potential of W"):
        inspected(own_file)


def test_a_lattice_constant_that_is_only_estimated_does_not_refuse_by_a_hair(tmp_path):
    """The box lacks 0.03 Å at the estimate, which the measured lattice constant may well mend."""
    text = (CASES / "sound" / "common.yaml").read_text().replace("60]", "56]")
    file = tmp_path / "campaign.yaml"
    file.write_text(text.replace("[22, 21]", "[22, 19]"))
    assert all(
        "the measured lattice constant decides" in one for one in inspected(file).layout.warnings
    )
    assert "the box is 46.59 Å high" in inspected(file).layout.warnings[0]
    file.write_text(text.replace("[22, 21]", "[22, 19]\n  a0: 3.157"))
    with pytest.raises(ConfigError, match=r"boundary\.slab_heights"):
        inspected(file)


def test_a_check_needs_neither_torch_nor_mpi(monkeypatch):
    for name in ("torch", "mpi4py", "parsl"):
        monkeypatch.setitem(sys.modules, name, None)
    assert inspected(CASES / "sound" / "common.yaml").layout.num_atoms == 270
