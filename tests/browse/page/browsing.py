"""A real browser for the page, which has no way out."""

import base64
import io
from contextlib import contextmanager

import pytest
from matplotlib.image import imread
from playwright.sync_api import expect

FLAGS = [
    "--no-sandbox",
    "--enable-unsafe-swiftshader",
    "--use-angle=swiftshader",
    # WebGL alone needs a graphics card made of software; the page around it is quicker without.
    "--disable-gpu-compositing",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
PATIENCE_MS = 20_000
"""Pages are drawn without a graphics card, on cores that others use."""
expect.set_options(timeout=PATIENCE_MS)

WIDTHS = [(1440, 900), (1024, 800), (390, 844)]
"""Sizes of a large screen, a small one and a telephone, pixels."""
LOOKS = [
    pytest.param((size, theme), id=f"{size[0]}-{theme}", marks=marks)
    for size, theme, marks in (
        (WIDTHS[0], "light", ()),
        (WIDTHS[0], "dark", pytest.mark.slow),
        (WIDTHS[1], "light", pytest.mark.slow),
        (WIDTHS[1], "dark", pytest.mark.slow),
        (WIDTHS[2], "light", pytest.mark.slow),
        (WIDTHS[2], "dark", ()),
    )
]
"""Every width in each theme; the widest in light and the narrowest in dark by default."""


@contextmanager
def opened(browser, url, allowed, size=(1280, 900), **settings):
    """A page that is ready; at the end it must have asked only for what is allowed, without an
    error in the console.
    """
    page = browser.new_page(viewport={"width": size[0], "height": size[1]}, **settings)
    page.set_default_timeout(PATIENCE_MS)
    asked, errors = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "console", lambda message: errors.append(message.text) if message.type == "error" else None
    )
    page.goto(url)
    # Every pixel is worked out by the processor.
    page.add_style_tag(content=".view { height: 120px !important; min-height: 0 !important; }")
    page.wait_for_selector("body[data-ready]")
    yield page
    assert asked and not [address for address in asked if not address.startswith(allowed)]
    assert not errors
    page.close()


def allowed_of(server):
    """Beginnings of the addresses that the page of a server may ask for."""
    return (server.url, f"blob:http://127.0.0.1:{server.server_port}/", "data:")


def picture_of(page, view="#view"):
    """The 3D picture as it is drawn, (height, width, 4), transparent where there is no atom."""
    url = page.evaluate(f"document.querySelector('{view} canvas').toDataURL()")
    return imread(io.BytesIO(base64.b64decode(url.partition(",")[2])))
