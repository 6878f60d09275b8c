"""Damaged images, lists of known energies and records of measurements: read or one sentence."""

import io
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imsave
from PIL import Image

from gcd_hpc.browse.reference import Reference
from gcd_hpc.errors import ConfigError, StoreError
from gcd_hpc.phases.diagram import Axis, Diagram, Line
from gcd_hpc.phases.diagram_inputs import read_diagram, write_diagram
from gcd_hpc.phases.record import MeasuredRecord
from gcd_hpc.structures.projection import read_image
from tests.fuzz.harness import MAX_BYTES, few_and_many, mutations, outcome, write

REFERENCE = """\
element,kind,axis,plane,angle_deg,upper_bound_j_m2,source
Cu,symmetric tilt,0 0 1,2 1 0,,0.951,a paper
Cu,,0 0 1,3 1 0,,0.905,
Cu,twist,1 1 1,,38.21,0.41,another
"""
SHADES = np.linspace(0, 1, 60 * 40).reshape(60, 40)


def image_bytes(form: str) -> bytes:
    content = io.BytesIO()
    if form == "npy":
        np.save(content, SHADES)
    elif form == "png":
        imsave(content, SHADES, cmap="gray", format="png")
    else:
        Image.fromarray((255 * SHADES).astype(np.uint8)).save(content, form)
    return content.getvalue()


def seen(path: Path) -> bool:
    """Reads an image as the campaign does, which names its key in what ``read_image`` refuses."""
    try:
        image = read_image(path)
    except ValueError as error:
        raise ConfigError("w.yaml", "guidance.0.file", f"{path} {error}") from None
    assert image.ndim == 2
    return bool(np.isfinite(image).all())


@pytest.mark.parametrize("form", ["npy", "png", "tiff", "bmp"])
@few_and_many(500)
def test_a_damaged_image_is_read_or_refused(form, num, tmp_path):
    for index, damaged in enumerate(mutations(image_bytes(form), num, 51, is_text=False)):
        path = write(tmp_path, f"image.{form}", damaged)
        found = outcome(lambda path=path: seen(path), f"{form} {index}")
        assert found.kind == "refused" or found.value is True, index


def png_of(width: int, height: int) -> bytes:
    """A PNG file that states a size and holds next to nothing."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        crc = zlib.crc32(kind + content).to_bytes(4, "big")
        return len(content).to_bytes(4, "big") + kind + content + crc

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 0, 0, 0, 0])
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(10_000)))
    return b"\x89PNG\r\n\x1a\n" + content + chunk(b"IEND", b"")


@pytest.mark.parametrize("edge", [20_000, 100_000, 2_000_000_000])
def test_an_image_that_states_a_huge_size_is_refused_before_it_is_held(edge, tmp_path):
    path = write(tmp_path, "huge.png", png_of(edge, edge))
    assert outcome(lambda: seen(path), edge).kind == "refused"
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({edge}, {edge}), }}".encode()
    header = header.ljust(117) + b"\n"
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(80)
    assert edge**2 * 8 > MAX_BYTES
    path = write(tmp_path, "huge.npy", content)
    assert outcome(lambda: seen(path), edge).kind == "refused"


@few_and_many(1000)
def test_a_damaged_list_of_energies_is_read_or_refused(num, tmp_path):
    def read(path: Path) -> bool:
        points = Reference.read(path).points
        return all(np.isfinite([one.energy_j_m2, one.angle_deg or 0.0]).all() for one in points)

    for index, damaged in enumerate(mutations(REFERENCE.encode(), num, 52, is_text=True)):
        path = write(tmp_path, "known.csv", damaged)
        found = outcome(lambda path=path: read(path), index)
        assert found.kind == "refused" or found.value is True, (index, damaged)


@few_and_many(500)
def test_a_damaged_record_of_a_measurement_is_as_it_was_or_refused(num, tmp_path):
    record = MeasuredRecord(
        kind="excess",
        phase="1/5-1",
        candidate="search-000001",
        structure_sha256="00ab",
        potential_sha256="cd",
        settings={"strain": 1e-3},
        version="1.0",
        date="2026-11-26T12:00:00+00:00",
        cpu_s=1.5,
        results={"excess_volume_a": 0.498, "excess_stress_n_m": [1.0, 2.0, 3.0]},
    )
    record.write(tmp_path / "sound.json")
    content = (tmp_path / "sound.json").read_bytes()
    for index, damaged in enumerate(mutations(content, num, 53, is_text=True)):
        path = write(tmp_path, "damaged.json", damaged)

        def read(path: Path = path) -> str:
            found = MeasuredRecord.read(path)
            assert found is not None
            return found.model_dump_json()

        found = outcome(read, index)
        assert found.kind == "refused" or found.value == record.model_dump_json(), index


@few_and_many(500)
def test_a_damaged_diagram_is_as_it_was_or_refused(num, tmp_path):
    line = Line("1/5-1", 0.2, np.array([2.3, 2.2]), np.zeros(2), 0.1)
    temperatures = np.array([0.0, 300.0])
    diagram = Diagram(Axis("strain", "strain", -0.01, 0.01), temperatures, (line,), {}, ())
    path = write_diagram(tmp_path, diagram)
    content = path.read_bytes()

    def read() -> list[object]:
        found = read_diagram(tmp_path, "strain")
        return [[one.name, one.energies_j_m2.tolist(), one.slope] for one in found.lines]

    expected = outcome(read, "sound").value
    assert json.loads(content)["axis"]["name"] == "strain"
    for index, damaged in enumerate(mutations(content, num, 54, is_text=True)):
        path.write_bytes(damaged)
        found = outcome(read, index)
        assert found.kind == "refused" or found.value == expected, index


def test_a_list_of_energies_with_a_short_line_is_refused_with_the_line(tmp_path):
    path = write(tmp_path, "known.csv", b"plane,angle_deg,e_j_m2\n2 1 0,,0.9\n3 1 0\n")
    with pytest.raises(StoreError, match="line 3"):
        Reference.read(path)
