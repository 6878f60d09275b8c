"""A document as PDF, made by ReportLab with the fonts that matplotlib brings."""

import io
from importlib.resources import files
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import matplotlib

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

FONT, BOLD = "DejaVuSans", "DejaVuSans-Bold"
CODE = "DejaVuSansMono"
SIZE = 8.5
"""Size of letters, points."""
MARGIN = 54.0
"""Margin of a page at all sides, points."""
CODE_COLUMNS, CODE_LINES = 62, 80
"""Characters of a line of a listing, whose rest goes to the next line, and lines of a column."""
DARK, GREY = "#1c1f23", "#555555"
LINE, BLUE = "#cccccc", "#1f5fa8"
_SPACE = 6.0
_CELL = 8.0
"""Space between the columns of a table, points."""


def to_pdf(document: Document) -> bytes:
    """The document as the content of a PDF file; the same document gives the same bytes."""
    from reportlab import rl_config  # loaded only where a PDF is written
    from reportlab.lib.pagesizes import A4
    from reportlab.platypus import SimpleDocTemplate

    # Pictures as bytes: as text they are a quarter larger, and coding them takes Python's time.
    rl_config.useA85 = 0
    _register_fonts()
    file = io.BytesIO()
    template = SimpleDocTemplate(
        file,
        pagesize=A4,
        title=document.title,
        author="",
        subject=document.subtitle,
        creator=document.about,
        leftMargin=MARGIN,
        rightMargin=MARGIN,
        topMargin=MARGIN,
        bottomMargin=MARGIN,
        invariant=1,
    )
    layout = _Layout(template.width, template.height)
    story = [
        layout.paragraph(document.title, size=16.0, font=BOLD, leading=20.0),
        layout.paragraph(document.subtitle, colour=GREY),
    ]
    for section in document.sections:
        story += layout.section(section)

    def decorate(canvas: Any, page: Any) -> None:
        canvas.setFont(FONT, 7)
        canvas.setFillColor(GREY)
        canvas.drawString(MARGIN, MARGIN / 2, document.about)
        canvas.drawRightString(A4[0] - MARGIN, MARGIN / 2, str(page.page))

    template.build(story, onFirstPage=decorate, onLaterPages=decorate)
    return file.getvalue()


def _register_fonts() -> None:
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont

    folder = Path(str(files("matplotlib"))) / "mpl-data/fonts/ttf"
    folder = folder if folder.is_dir() else Path(matplotlib.get_data_path()) / "fonts/ttf"
    for name in (FONT, BOLD, CODE):
        pdfmetrics.registerFont(TTFont(name, folder / f"{name}.ttf"))


class _Layout:
    """Blocks of a document as ReportLab's flowables for a frame of this size, in points."""

    def __init__(self, width: float, height: float) -> None:
        self._width, self._height = width - 12.0, height - 12.0  # the frame has its own padding

    def paragraph(
        self,
        text: str,
        size: float = SIZE,
        font: str = FONT,
        colour: str = DARK,
        leading: float | None = None,
        align: int = 0,
        after: float = _SPACE,
        indent: float = 0.0,
        keeps_next: bool = False,
    ) -> Any:
        """A paragraph, its code in a font of fixed width."""
        from reportlab.lib.styles import ParagraphStyle
        from reportlab.platypus import Paragraph as Flowable

        style = ParagraphStyle(
            "text",
            fontName=font,
            fontSize=size,
            leading=leading or 1.35 * size,
            textColor=colour,
            alignment=align,
            spaceAfter=after,
            leftIndent=indent,
            keepWithNext=int(keeps_next),
            splitLongWords=1,
        )
        marked = [
            f'<font face="{CODE}" size="{0.92 * size:g}">{escape(part)}</font>'
            if is_code
            else escape(part)
            for part, is_code in pieces(text)
        ]
        return Flowable("".join(marked), style)

    def section(self, section: Section) -> list[Any]:
        """Title and blocks of a section."""
        from reportlab.platypus import CondPageBreak, PageBreak, Spacer

        size = {2: 12.0, 3: 10.0}.get(section.level, SIZE)
        # A title is not left alone at the foot of a page, away from its picture.
        first = section.blocks[0] if section.blocks else None
        needed = self._size(first)[1] + 0.1 * self._height if isinstance(first, Picture) else 0.0
        least = max(0.14 * self._height, needed)
        start = PageBreak() if section.starts_page else CondPageBreak(least)
        title = self.paragraph(section.title, size, BOLD, BLUE, after=4.0, keeps_next=True)
        found = [start, Spacer(1, 0.7 * size), title]
        for block in section.blocks:
            found += self._block(block)
        return found

    def _block(self, block: Block) -> list[Any]:
        match block:
            case Paragraph():
                colour, indent = (GREY, 8.0) if block.is_note else (DARK, 0.0)
                return [self.paragraph(block.text, colour=colour, indent=indent)]
            case Facts():
                return [self._facts(block)] if block.rows else []
            case Table():
                return self._table(block)
            case Picture():
                return [self._picture(block)]
            case Listing():
                return [self._listing(block)]

    def _facts(self, block: Facts) -> Any:
        from reportlab.platypus import Table as Flowable

        first = 0.27 * self._width
        rows = [
            [self.paragraph(name, colour=GREY, after=0), self.paragraph(value, after=0)]
            for name, value in block.rows
        ]
        style = [
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("TOPPADDING", (0, 0), (-1, -1), 1.5),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 1.5),
            ("LEFTPADDING", (0, 0), (-1, -1), 0),
        ]
        return Flowable(rows, [first, self._width - first], style=style, spaceAfter=_SPACE)

    def _table(self, block: Table) -> list[Any]:
        from reportlab.platypus import CondPageBreak
        from reportlab.platypus import Table as Flowable

        size = SIZE - (1.0 if len(block.headings) <= 7 else 1.8)
        widths = self._widths(block, size)
        right = [int(align == "right") * 2 for align in block.align]
        head = [
            self.paragraph(text, size, BOLD, align=side, after=0)
            for text, side in zip(block.headings, right, strict=True)
        ]
        rows = [
            [
                self.paragraph(cell, size, align=side, after=0)
                for cell, side in zip(row, right, strict=True)
            ]
            for row in block.rows
        ]
        style = [
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("LINEBELOW", (0, 0), (-1, 0), 0.8, GREY),
            ("LINEBELOW", (0, 1), (-1, -1), 0.3, LINE),
            ("TOPPADDING", (0, 0), (-1, -1), 1.6),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 2.2),
            ("LEFTPADDING", (0, 0), (-1, -1), _CELL / 2),
            ("RIGHTPADDING", (0, 0), (-1, -1), _CELL / 2),
        ]
        body = Flowable(
            [head, *rows], widths, repeatRows=1, style=style, hAlign="LEFT", spaceAfter=_SPACE
        )
        # A table may begin at the foot of a page, but with some of its rows.
        start = CondPageBreak(0.2 * self._height)
        return [start, self.paragraph(block.caption, after=2.0), body]

    def _widths(self, block: Table, size: float) -> list[float]:
        """Widths of the columns: as wide as their texts, or less where words can be broken off."""
        from reportlab.pdfbase.pdfmetrics import stringWidth

        def width(text: str, font: str = FONT) -> float:
            fonts = [(part, CODE if is_code else font) for part, is_code in pieces(text)]
            return float(sum(stringWidth(part, name, size) for part, name in fonts))

        columns = list(zip(*block.rows, strict=True)) or [() for _ in block.headings]
        wanted, least = [], []
        for cells, heading in zip(columns, block.headings, strict=True):
            words = [width(word) for cell in cells for word in cell.split()]
            # A heading may be broken between its words wherever the column is narrower.
            words += [width(word, BOLD) for word in heading.split()]
            least.append(max([*words, 12.0]) + _CELL + 1.0)
            wanted.append(max([least[-1], *(width(cell) + _CELL + 1.0 for cell in cells)]))
        return _fitted(wanted, least, self._width)

    def _size(self, block: Picture) -> tuple[float, float]:
        """Width and height of a picture on the page, points."""
        scale = min(1.0, self._width / (72 * block.width_in))
        scale = min(scale, 0.8 * self._height / (72 * block.height_in))
        return 72 * block.width_in * scale, 72 * block.height_in * scale

    def _picture(self, block: Picture) -> Any:
        from reportlab.platypus import Image, KeepTogether

        width, height = self._size(block)
        image = Image(io.BytesIO(block.png), width, height, hAlign="LEFT")
        return KeepTogether([image, self.paragraph(block.caption, after=2 * _SPACE)])

    def _listing(self, block: Listing) -> Any:
        """Lines in two columns."""
        from reportlab.lib.styles import ParagraphStyle
        from reportlab.platypus import Preformatted
        from reportlab.platypus import Table as Flowable

        style = ParagraphStyle("code", fontName=CODE, fontSize=6, leading=7.4, textColor=DARK)
        lines = block.text.splitlines()
        rows = []
        for first in range(0, len(lines), 2 * CODE_LINES):
            page = lines[first : first + 2 * CODE_LINES]
            half = -(-len(page) // 2)
            columns = ("\n".join(part) for part in (page[:half], page[half:]))
            rows.append(
                [
                    Preformatted(column, style, maxLineLength=CODE_COLUMNS, newLineChars="  ")
                    for column in columns
                ]
            )
        sides = [("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (-1, -1), 0)]
        return Flowable(rows, 2 * [self._width / 2], style=sides)


def _fitted(wanted: list[float], least: list[float], room: float) -> list[float]:
    """Widths that fill at most the room: each column gives way by its share of what it can spare,
    and if all are at their least, in proportion.
    """
    excess = sum(wanted) - room
    if excess <= 0:
        return wanted
    spare = [most - few for most, few in zip(wanted, least, strict=True)]
    if sum(spare) >= excess:
        share = excess / sum(spare)
        return [most - share * part for most, part in zip(wanted, spare, strict=True)]
    scale = room / sum(least)
    return [scale * one for one in least]
