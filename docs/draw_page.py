"""Pictures of the page and of the report: ``python docs/draw_page.py RUN`` writes
docs/figures/browse.png, page-*.png and report.png.
"""

import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from gcd_hpc.browse.page.server import PageServer
from gcd_hpc.browse.report.writing import write_reports

FIGURES = Path(__file__).parent / "figures"
FLAGS = ["--no-sandbox", "--enable-unsafe-swiftshader", "--use-angle=swiftshader"]
Act = Callable[[Page], None]


def nothing(page: Page) -> None:
    """The page as it opens."""


def grains_before_and_after(page: Page) -> None:
    """Grains by colour, before relaxation beside after it."""
    page.select_option("#atom-colour", "grain")
    page.check("#bonds")
    page.select_option("#beside", "before")
    page.wait_for_selector('#view[data-colours=grain]:not([data-bonds="0"])')


def kinds_and_a_distance(page: Page) -> None:
    """Kinds of atoms, seen along the normal in a slice, and two atoms with their distance."""
    page.select_option("#atom-colour", "kind")
    page.click("#look-z")
    page.select_option("#map-colour", "phase")
    page.get_by_text("other phases, or none").wait_for()
    page.select_option("#slice-axis", "z")
    page.fill("#atom-a", "150")
    page.keyboard.press("Tab")
    page.fill("#atom-b", "170")
    page.keyboard.press("Tab")


def campaign(page: Page) -> None:
    """The campaign's training, moves and settings."""
    page.click("#tab-progress")
    page.wait_for_selector("#figures img")
    page.evaluate("document.getElementById('tabs-card').scrollIntoView()")


def row(page: Page) -> None:
    """A row far down the list, with its structure in sight."""
    line = page.locator("#table tbody tr").nth(20)
    line.scroll_into_view_if_needed()
    line.click(position={"x": 60, "y": 10})


def registries(page: Page) -> None:
    """Registries of the grains, coloured by energy, with the lowest structure of each [n]."""
    page.locator("#thumbnails svg").last.wait_for()
    page.click("#map-registries")
    page.wait_for_selector("#map .cell")


PICTURES: list[tuple[str, int, int, str, Act]] = [
    ("browse", 1440, 1000, "light", nothing),
    ("page-dark", 1440, 1000, "dark", grains_before_and_after),
    ("page-kinds", 1440, 1000, "light", kinds_and_a_distance),
    ("page-campaign", 1024, 900, "light", campaign),
    ("page-row", 1024, 900, "dark", row),
    ("page-registries", 1440, 1000, "light", registries),
    ("page-phone", 390, 844, "light", row),
]
"""Name, width, height, theme and what is done to each picture."""


def opened(browser: Browser, address: str, width: int, height: int, theme: str) -> Page:
    """The page when it is ready."""
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=theme)
    page.set_default_timeout(60_000)
    page.goto(address)
    page.wait_for_selector("body[data-ready]")
    return page


def main() -> None:
    """Draw all, or those that are named behind the run."""
    run, names = Path(sys.argv[1]), sys.argv[2:]
    with (
        sync_playwright() as playwright,
        PageServer(run) as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        for name, width, height, theme, act in PICTURES:
            if names and name not in names:
                continue
            page = opened(browser, server.url, width, height, theme)
            act(page)
            page.mouse.move(0, 0)
            page.wait_for_timeout(1500)
            page.screenshot(path=FIGURES / f"{name}.png")
            page.close()
        if not names or "report" in names:
            (report,) = write_reports(run, Path(folder) / "report.html", None)
            page = browser.new_page(viewport={"width": 1000, "height": 1500})
            page.goto(report.as_uri())
            page.screenshot(path=FIGURES / "report.png")
        browser.close()
        server.shutdown()


if __name__ == "__main__":
    main()
