"""Drawings of the docs: no text beyond its box."""

from pathlib import Path
from xml.etree import ElementTree

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

FIGURES = Path(__file__).parents[2] / "docs" / "figures"
SVG = "{http://www.w3.org/2000/svg}"
MARGIN = 4.0
"""Least distance of a text from the edge of its box, units of the drawing."""


def texts(node, size, weight="normal"):
    """Each text with its size and weight, which groups hand on."""
    size = float(node.get("font-size", size))
    weight = node.get("font-weight", weight)
    if node.tag == f"{SVG}text":
        yield node, size, weight
    for child in node:
        yield from texts(child, size, weight)


def test_texts_of_the_active_loop_stay_within_their_boxes():
    root = ElementTree.parse(FIGURES / "active-loop.svg").getroot()
    boxes = [
        [float(box.get(name, 0)) for name in ("x", "y", "width", "height")]
        for box in root.iter(f"{SVG}rect")
    ]
    for node, size, weight in texts(root, 14):
        x, y = float(node.get("x")), float(node.get("y"))
        font = FontProperties(family="DejaVu Sans", weight=weight)
        half = TextPath((0, 0), node.text, size=size, prop=font).get_extents().width / 2
        around = [box for box in boxes if 0 <= x - box[0] <= box[2] and 0 <= y - box[1] <= box[3]]
        left, top, width, height = min(around, key=lambda box: box[2])
        assert left + MARGIN <= x - half and x + half <= left + width - MARGIN, node.text
        assert top + MARGIN <= y - size and y <= top + height - MARGIN, node.text
