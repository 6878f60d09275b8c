"""The worked notebook of the docs, executed in an empty folder."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebook.ipynb"


@pytest.mark.slow
@pytest.mark.lammps
def test_the_notebook_runs_a_campaign_and_shows_it(tmp_path):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(tmp_path)}}).execute()
    nbformat.write(notebook, tmp_path / "executed.ipynb")
    outputs = [one for cell in notebook.cells for one in cell.get("outputs", [])]
    errors = [one for one in outputs if one.output_type == "error" or one.get("name") == "stderr"]
    assert errors == []
    pages = [one["data"].get("text/html", "") for one in outputs if "data" in one]
    # Progress, run and candidate are shown as pictures and tables; the figures as images.
    assert any("/16 tries" in page for page in pages), pages[0]
    assert sum("<svg" in page and "<table" in page for page in pages) == 2
    assert sum("image/png" in one.get("data", {}) for one in outputs) == 2
    text = "".join(one.get("text", "") for one in outputs)
    assert len(re.findall(r"^(notebook|seed-1): \d\.\d{3} J/m\^2 at \[n\]", text, re.M)) == 2
    assert (tmp_path / "egb_vs_n.pdf").stat().st_size > 1000
    assert (tmp_path / "runs" / "notebook" / "results.h5").exists()
