"""A document as one HTML file without scripts, which needs no other file and no network."""

import base64
from importlib.resources import files
from xml.etree import ElementTree as Tree

from gcd_hpc.browse.report.document import (
    Block,
    Document,
    Facts,
    Listing,
    Paragraph,
    Picture,
    Section,
    Table,
    pieces,
)

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'"
"""Content-Security-Policy: nothing is loaded and nothing is run."""


def to_html(document: Document) -> str:
    """The document as the text of an HTML file."""
    html = Tree.Element("html", lang="en")
    head = Tree.SubElement(html, "head")
    Tree.SubElement(head, "meta", charset="utf-8")
    Tree.SubElement(head, "meta", {"http-equiv": "Content-Security-Policy", "content": POLICY})
    width = "width=device-width, initial-scale=1"
    Tree.SubElement(head, "meta", name="viewport", content=width)
    _text(head, "title", f"{document.title}: {document.subtitle}")
    style = (files("gcd_hpc.browse.report") / "report.css").read_text(encoding="utf-8")
    Tree.SubElement(head, "style").text = style
    body = Tree.SubElement(html, "body")
    header = Tree.SubElement(body, "header")
    _text(header, "h1", document.title)
    _text(header, "p", document.subtitle)
    main = Tree.SubElement(body, "main")
    _add_contents(main, document)
    for number, section in enumerate(document.sections):
        _add_section(main, section, number)
    _text(Tree.SubElement(body, "footer"), "p", document.about)
    return "<!doctype html>\n" + Tree.tostring(html, encoding="unicode", method="html") + "\n"


def _add_contents(parent: Tree.Element, document: Document) -> None:
    items = Tree.SubElement(Tree.SubElement(parent, "nav", {"aria-label": "Contents"}), "ol")
    for number, section in enumerate(document.sections):
        if section.level == 2:
            link = Tree.SubElement(Tree.SubElement(items, "li"), "a", href=f"#section-{number}")
            link.text = section.title


def _add_section(parent: Tree.Element, section: Section, number: int) -> None:
    element = Tree.SubElement(parent, "section", id=f"section-{number}")
    if section.starts_page:
        element.set("class", "page")
    _text(element, f"h{section.level}", section.title)
    for block in section.blocks:
        _add_block(element, block)


def _add_block(parent: Tree.Element, block: Block) -> None:
    match block:
        case Paragraph():
            element = _text(parent, "p", block.text)
            if block.is_note:
                element.set("class", "note")
        case Facts():
            facts = Tree.SubElement(parent, "dl")
            for name, value in block.rows:
                _text(facts, "dt", name)
                _text(facts, "dd", value)
        case Table():
            _add_table(parent, block)
        case Picture():
            figure = Tree.SubElement(parent, "figure")
            source = "data:image/png;base64," + base64.b64encode(block.png).decode()
            width = f"width: {block.width_in * 96:.0f}px"
            Tree.SubElement(figure, "img", src=source, alt=_plain(block.caption), style=width)
            _text(figure, "figcaption", block.caption)
        case Listing():
            Tree.SubElement(parent, "pre").text = block.text


def _add_table(parent: Tree.Element, block: Table) -> None:
    figure = Tree.SubElement(parent, "figure", {"class": "table"})
    _text(figure, "figcaption", block.caption)
    # A table wider than the page is scrolled within its own box.
    box = Tree.SubElement(figure, "div", {"class": "scroll", "tabindex": "0"})
    element = Tree.SubElement(box, "table")
    head = Tree.SubElement(Tree.SubElement(element, "thead"), "tr")
    for heading, align in zip(block.headings, block.align, strict=True):
        _text(head, "th", heading, {"class": align, "scope": "col"})
    rows = Tree.SubElement(element, "tbody")
    for row in block.rows:
        line = Tree.SubElement(rows, "tr")
        for cell, align in zip(row, block.align, strict=True):
            _text(line, "td", cell, {"class": align})


def _text(
    parent: Tree.Element, tag: str, text: str, attributes: dict[str, str] | None = None
) -> Tree.Element:
    """Element with a text, whose code is in elements of its own."""
    element = Tree.SubElement(parent, tag, attributes or {})
    last: Tree.Element | None = None
    for part, is_code in pieces(text):
        if is_code:
            last = Tree.SubElement(element, "code")
            last.text = part
        elif last is None:
            element.text = part
        else:
            last.tail = part
    return element


def _plain(text: str) -> str:
    return text.replace("`", "")
