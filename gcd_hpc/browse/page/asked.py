"""Data of the view of a guided campaign: what was asked for and found, and projections."""

import base64
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gcd_hpc.browse.asked import (
    CHANCE,
    HEADINGS,
    IMAGE_HEADINGS,
    MEAN_CHANCE,
    AskedImage,
    about_image,
    asked_energies,
    asked_for,
    asked_image,
    asked_n,
    cells,
    guidance_of,
    image_cells,
    image_of_run,
    least_correlation,
    projection,
)
from gcd_hpc.browse.page.snapshot import Snapshot
from gcd_hpc.errors import StoreError
from gcd_hpc.learning.image_match import laid
from gcd_hpc.learning.image_place import PlacedImage
from gcd_hpc.store.run import Run
from gcd_hpc.store.run_candidate import RunCandidate

Array = NDArray[np.float64]
NOT_YET = "No relaxed candidate was asked for it yet."


class AskedView:
    """What a guided campaign asked for and found; thread-safe.

    Placing an image and comparing projections with it take seconds, so that both are kept.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._image: PlacedImage | None = None
        self._version: str | None = None
        self._record: dict[str, Any] = {}

    def record(self, rows: Snapshot, version: str) -> dict[str, Any]:
        """``asked_record`` of all candidates.

        Args:
            version: version of the part files of the rows.
        """
        with self._lock:
            if self._version != version:
                found = None
                if "image" in guidance_of(rows.run):
                    image = self._placed(rows.run)
                    found = image if isinstance(image, str) else asked_image(rows.relaxed, image)
                self._record = asked_record(rows.run, rows.relaxed, found)
                self._version = version
            return self._record

    def projection(self, run: Run, name: str) -> dict[str, Any]:
        """``projection_record`` of one candidate.

        Raises:
            StoreError: if there is no such candidate, or nothing to compare it with.
        """
        with self._lock:
            image = self._placed(run)
        if isinstance(image, str):
            raise StoreError(image)
        return projection_record(run[name], image)

    def _placed(self, run: Run) -> PlacedImage | str:
        if self._image is not None:
            return self._image
        image = image_of_run(run)
        self._image = None if isinstance(image, str) else image
        return image


def asked_record(run: Run, relaxed: Run, image: AskedImage | str | None) -> dict[str, Any]:
    """What was asked for in sentences, and tables of what was found.

    Args:
        image: ``asked_image``, or why there is none; None where no image was asked for.
    """
    properties = guidance_of(run)
    tables = []
    if "n_fraction" in properties:
        known = asked_n(relaxed)
        about = f"Share of the candidates that have the [n] asked for. {MEAN_CHANCE}"
        tables.append(_table("[n]", HEADINGS, cells(known.rows) if known else [], about))
    if "gb_energy" in properties:
        rows = asked_energies(run, relaxed)
        about = (
            f"Share of the candidates that have the [n] and an energy as asked for. {MEAN_CHANCE}"
        )
        tables.append(_table("Energy", HEADINGS, cells(rows) if rows else [], about))
    record: dict[str, Any] = {"terms": asked_for(run), "tables": tables, "image": None}
    if isinstance(image, str):
        tables.append(_table("Image", IMAGE_HEADINGS, [], image))
    elif image is not None:
        found = f"Candidates that are the structure in the image. {CHANCE}"
        tables.append(_table("Image", HEADINGS, cells([image.row]), found))
        like = _table("Most like the image", IMAGE_HEADINGS, image_cells(image), about_image(image))
        tables.append({**like, "ids": [row[0] for row in like["rows"]]})
        record["image"] = image_record(image.image)
    return record


def _table(title: str, headings: Any, rows: Any, about: str) -> dict[str, Any]:
    if not rows and about.startswith("Share"):
        about = NOT_YET
    return {"title": title, "headings": list(headings), "rows": list(rows), "about": about}


def image_record(image: PlacedImage) -> dict[str, Any]:
    """The image in shades of grey, its scale, and what noise leaves of a perfect projection."""
    return {
        **_grey(image, image.density),
        "pixel_a": image.target.pixel_a,
        "axis": image.target.axis,
        "expected": round(image.expected, 3),
        "least": round(least_correlation(image), 3),
    }


def projection_record(candidate: RunCandidate, image: PlacedImage) -> dict[str, Any]:
    """Projection of a candidate where it fits the image best, and its correlation with it.

    Raises:
        StoreError: if the candidate was not relaxed.
    """
    if candidate.status != "ok":
        raise StoreError(f"{candidate.id} was not relaxed, so that it has no projection.")
    correlation, positions = laid(image, np.asarray(candidate.positions))
    return {
        "id": candidate.id,
        "correlation": round(correlation, 3),
        **_grey(image, projection(image, positions)),
    }


def _grey(image: PlacedImage, shown: Array) -> dict[str, Any]:
    """An array (H, W) as bytes, black where there is no atom; one scale for all projections.

    White is the brightest place of the image that its noise leaves, three standard deviations
    below the brightest pixel.
    """
    high = float(image.density.max()) - 3 * image.noise
    grey = np.clip(255 * shown / high, 0, 255).astype(np.uint8)
    height, width = shown.shape
    return {"height": height, "width": width, "grey": base64.b64encode(grey.tobytes()).decode()}
