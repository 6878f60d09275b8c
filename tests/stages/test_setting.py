"""What is settled before the first task."""

import pytest

from gcd_hpc.errors import GcdError, PotentialError
from gcd_hpc.learning.boundary import prepare
from tests.stages.conftest import CAMPAIGNS, small_config

pytestmark = pytest.mark.lammps


def test_the_run_directory_stands_on_its_own(tmp_path, capsys):
    setting = prepare(tmp_path, small_config(), CAMPAIGNS)
    assert (tmp_path / "W_zhou.eam.alloy").exists()
    assert setting.bulk.a0 == pytest.approx(3.164849, abs=2e-6)
    assert setting.frame.height == pytest.approx(60.05, abs=0.005)  # D5
    assert capsys.readouterr().err == ""


def test_coarse_voxels_are_warned_of(tmp_path, capsys):
    prepare(tmp_path, small_config("voxels.shape=[8, 8, 48]", "voxels.known=12"), CAMPAIGNS)
    assert "warning: voxels.shape: atoms of the crystal share" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("override", "error", "sentence"),
    [
        ("potential.file=none.eam.alloy", PotentialError, "'none.eam.alloy' not found"),
        ("boundary.upper.x=[3, 1, 1]", GcdError, "at right angles"),
        ("boundary.slab_heights=[40, 40]", GcdError, "boundary.slab_heights"),
    ],
)
def test_what_cannot_work_is_told_before_anything_is_written(tmp_path, override, error, sentence):
    with pytest.raises(error, match=sentence):
        prepare(tmp_path, small_config(override), CAMPAIGNS)
    assert not any(path.suffix in (".alloy", ".h5") for path in tmp_path.iterdir())
