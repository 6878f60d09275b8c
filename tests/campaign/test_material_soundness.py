"""What cannot run is refused by ``gcd-hpc check`` already, without an engine."""

from pathlib import Path

import pytest

from gcd_hpc.campaign.material_soundness import inspect_material
from gcd_hpc.config.loader import parse_material
from gcd_hpc.errors import ConfigError

FOLDER = Path(__file__).parents[2] / "campaigns"
TEXT = (FOLDER / "carbon_xanes.yaml").read_text()
TARGET, ENGINE = "file: carbon_xanes.csv", "engine: feff10"


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("num_atoms: 216", "num_atoms: 8", "prior.cutoff_a: must be at most half the shortest"),
        ("density_g_cm3: 2.5", "density_g_cm3: 1e-300", "must be at least 0.01"),
        ("[1.5, 2.0, 2.5, 3.0, 3.5]", "[2.0, 1e300]", "must be at most 100"),
        ("quench:", "quench:\n  liquid_k: 1e300", "quench.liquid_k: must be at most 100000"),
        (TARGET, f"{TARGET}, shift_ev: 1e9", "target.file: .*which is less than the window"),
        (TARGET, f"{TARGET}, fwhm_ev: 1e308", "target.fwhm_ev: must be at most 100"),
        (ENGINE, f"{ENGINE}\n  window_ev: [0, 1e9, 1e-9]", "must have at most 10,000 distances"),
        (ENGINE, "engine: empty.h5", r"labelling.engine: .*empty\.h5: expected a complete HDF5"),
        (ENGINE, f"{ENGINE}\n  window_ev: [300, 400, 1]", "which is less than the window"),
    ],
)
def test_a_material_that_cannot_run_is_refused_by_its_check(before, after, problem, tmp_path):
    assert before in TEXT
    (tmp_path / "carbon_xanes.csv").write_bytes((FOLDER / "carbon_xanes.csv").read_bytes())
    (tmp_path / "empty.h5").touch()
    with pytest.raises(ConfigError, match=problem):
        inspect_material(parse_material(TEXT.replace(before, after), "c.yaml"), tmp_path, "c.yaml")
