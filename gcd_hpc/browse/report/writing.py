"""Writes the report of a run or of a set to files."""

from pathlib import Path

from gcd_hpc.browse.report.document import Document
from gcd_hpc.browse.report.html import to_html
from gcd_hpc.browse.report.material_report import material_document
from gcd_hpc.browse.report.pdf import to_pdf
from gcd_hpc.browse.report.run_report import run_document
from gcd_hpc.browse.report.set_report import set_document
from gcd_hpc.errors import StoreError
from gcd_hpc.files import output
from gcd_hpc.store.run import open_run
from gcd_hpc.store.run_set import RunSet


def report_document(path: Path) -> Document:
    """Report of a run directory, of a file of results or of a set.

    Raises:
        GcdError: if it cannot be read, or if it holds no candidates yet.
    """
    if RunSet.is_set(path):
        return set_document(RunSet.open(path))
    run = open_run(path)
    if not len(run):
        raise StoreError(
            f"{path}: there is nothing to report yet, because no candidate was tried; gcd-hpc"
            " status says how far the campaign is"
        )
    return material_document(path) if run.is_material else run_document(path)


def write_reports(path: Path, html: Path | None, pdf: Path | None) -> list[Path]:
    """Write the report of a run or a set as the files that are named; return them.

    Raises:
        GcdError: if the run cannot be read or a file cannot be written.
    """
    document = report_document(path)
    contents: list[tuple[Path, bytes]] = []
    if html is not None:
        contents.append((html, to_html(document).encode()))
    if pdf is not None:
        contents.append((pdf, to_pdf(document)))
    for place, content in contents:
        with output(place) as temporary:
            temporary.write_bytes(content)
    return [place for place, _ in contents]
