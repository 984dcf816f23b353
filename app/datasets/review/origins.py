"""Records the place of each row in the uploaded file, because the stored rows do not contain it."""

from array import array
from bisect import bisect_right
from collections.abc import Mapping

from app.datasets.files.found import Row
from app.datasets.review.findings import Place, Review
from contracts.values.text import escape

MOST_PATH_CHARACTERS = 200


class Origins:
    """The line and the file of each row. Takes 4 bytes per row."""

    def __init__(self) -> None:
        self._lines = array("I")
        self._files: list[tuple[int, str]] = []
        """Number of the first row of each file, and its name."""

    def add(self, row: Row) -> None:
        """Add the next stored row."""
        self._lines.append(row.line)
        if not self._files or self._files[-1][1] != row.file:
            self._files.append((len(self._lines), row.file))

    def clear(self) -> None:
        """Forget all rows."""
        self._lines = array("I")
        self._files.clear()

    def complete(self, place: Place) -> Place:
        """Return the place with its line and file."""
        if place.row > len(self._lines):
            return place
        at = bisect_right(self._files, place.row, key=lambda each: each[0]) - 1
        return place.model_copy(
            update={
                "line": self._lines[place.row - 1] or None,
                "file": escape(self._files[at][1])[:MOST_PATH_CHARACTERS] or None,
            }
        )


def relocate(review: Review, origins: Origins | None, sources: Mapping[str, str]) -> Review:
    """Return the review with places in the uploaded file. `sources` maps stored column names to those in the file."""
    findings = [
        finding.model_copy(
            update={
                "places": [
                    _rename(origins.complete(place) if origins else place, sources)
                    for place in finding.places
                ]
            }
        )
        for finding in review.findings
    ]
    return review.model_copy(update={"findings": findings})


def _rename(place: Place, sources: Mapping[str, str]) -> Place:
    if place.field is None:
        return place
    name = place.field.partition("[")[0].partition(".")[0]
    path = sources.get(name, name) + place.field[len(name) :]
    return place.model_copy(update={"field": escape(path)[:MOST_PATH_CHARACTERS]})
