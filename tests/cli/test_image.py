"""The command that simulates an image refuses what no one could read."""

from pathlib import Path

from typer.testing import CliRunner

from gcd_hpc.cli import app
from gcd_hpc.config.loader import load_campaign
from gcd_hpc.errors import GcdError
from gcd_hpc.store.parts import write_part
from gcd_hpc.store.provenance import campaign_provenance
from tests.store.synthetic import make_candidate

CAMPAIGN = Path(__file__).parents[2] / "campaigns/smoke.yaml"


def test_an_image_of_more_pixels_than_are_read_is_refused_before_it_is_made(tmp_path):
    run, out = tmp_path / "run.h5", tmp_path / "image.npy"
    row = make_candidate(0)
    write_part(run, [row], campaign_provenance(load_campaign(CAMPAIGN)))
    words = ["image", str(run), row.id, "--out", str(out)]
    size = ["--pixel", "0.01", "--height", "10000", "--repeats", "100"]
    result = CliRunner().invoke(app, [*words, *size])
    assert isinstance(result.exception, GcdError)
    assert "the image would have 1,000,000 x " in str(result.exception)
    assert not out.exists()
