"""The demo's data as a laboratory delivers it: with sample numbers, deliveries made twice, and readings that failed.

Everything follows from a row's place in the data set, so each telling of the demo finds the same bytes. What
`examples/dataset-clean.yaml` makes of it are the rows of `dev.demo.data` again, but for the readings that failed.
"""

import csv
import io
from collections.abc import Iterator, Sequence

from dev.demo.data import HELD_BACK, LABEL, Row, columns, tumours

SAMPLE = "sample_id"
RADIUS = columns().index("mean_radius")
TEXTURE = columns().index("mean_texture")
LABEL_PLACE = columns().index(LABEL)

RawRow = tuple[str, ...]
"""The sample's number, 30 measures, the label."""

FIRST_FILES = 2
CORRUPTED_FILE = "part-4.csv"
DELIVERIES = (3, 5)
"""Numbers of the files in which the rows held back arrive, one after the other."""
CORRUPTED_ROWS = 60


def delivered_twice(place: int) -> bool:
    """Whether the row at this place of the data set came twice, number and all."""
    return place % 25 == 7


def radius_failed(place: int) -> bool:
    """Whether the instrument wrote -1 for the radius."""
    return place % 60 == 59


def texture_missing(place: int) -> bool:
    """Whether nobody wrote a texture down."""
    return place % 100 == 50


def fails(place: int) -> bool:
    """Whether cleaning drops the row."""
    return radius_failed(place) or texture_missing(place)


def raw_files(places: range, *, files: int, number: int) -> dict[str, bytes]:
    """Rows of the data set as delivered, in so many files, the first of which is `part-<number>.csv`."""
    size = -(-len(places) // files)
    return {f"part-{number + i}.csv": _as_csv(_rows(places[i * size : (i + 1) * size])) for i in range(files)}


def first_raw_files() -> dict[str, bytes]:
    """What the demo begins with: all rows but those held back."""
    return raw_files(range(len(tumours()) - HELD_BACK), files=FIRST_FILES, number=1)


def deliveries() -> tuple[dict[str, bytes], ...]:
    """The rows that were held back, as they arrive later: each time one file."""
    first, size = len(tumours()) - HELD_BACK, HELD_BACK // len(DELIVERIES)
    parts = [range(first + i * size, first + (i + 1) * size) for i in range(len(DELIVERIES))]
    return tuple(raw_files(part, files=1, number=number) for part, number in zip(parts, DELIVERIES, strict=True))


def corrupted_files() -> dict[str, bytes]:
    """A batch of an instrument that was set to micrometres, with lost sample numbers and a label nobody knows."""
    return {CORRUPTED_FILE: _as_csv(_corrupted(place) for place in range(CORRUPTED_ROWS))}


def _rows(places: range) -> Iterator[RawRow]:
    for place in places:
        yield from [_row(place)] * (2 if delivered_twice(place) else 1)


def _row(place: int) -> RawRow:
    cells = _cells(tumours()[place])
    if radius_failed(place):
        cells[RADIUS] = "-1"
    if texture_missing(place):
        cells[TEXTURE] = ""
    return (f"S{place:04}", *cells)


def _corrupted(place: int) -> RawRow:
    cells = _cells(tumours()[place])
    cells[RADIUS] = str(round(float(cells[RADIUS]) * 1000, 3))
    if place % 4 == 0:
        cells[LABEL_PLACE] = "9"
    sample = "" if place % 10 == 0 else f"S{9000 + place}"
    return (sample, *cells)


def _cells(row: Row) -> list[str]:
    return [*map(str, row[:-1]), str(int(row[-1]))]


def _as_csv(rows: Iterator[RawRow] | Sequence[RawRow]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((SAMPLE, *columns()))
    writer.writerows(rows)
    return text.getvalue().encode()
