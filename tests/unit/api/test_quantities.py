"""Sizes: read as Kubernetes reads them, written for people."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keelway.api.quantities import binary_quantity, bytes_of

KIB, MIB, GIB = 1024, 1024**2, 1024**3


@pytest.mark.parametrize(
    ("quantity", "size"),
    [("1Gi", 2**30), ("500M", 500_000_000), ("1e9", 10**9), (1048576, 2**20), ("1.5Ki", 1536), ("1k", 1000), ("0", 0)],
)
def test_a_quantity_is_so_many_bytes(quantity: str | float, size: int) -> None:
    assert bytes_of(quantity) == size


@pytest.mark.parametrize("text", ["", "much", "1GB", "-1Gi", "1 Gi"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity such as 512Mi"):
        bytes_of(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0"),
        (1, "1"),
        (999, "999"),
        (1000, "0.977Ki"),
        (1023, "0.999Ki"),
        (1024, "1Ki"),
        (31 * MIB, "31Mi"),
        (int(31.25 * MIB), "31.2Mi"),
        (999 * KIB, "999Ki"),
        (int(999.4 * KIB), "999Ki"),
        (int(999.6 * KIB), "0.976Mi"),
        (3 * GIB, "3Gi"),
        (1024**5, "1Pi"),
        (5000 * 1024**5, "5000Pi"),
    ],
)
def test_sizes_for_people(size: int, text: str) -> None:
    assert binary_quantity(size) == text


@given(st.integers(0, 10**19))
def test_a_size_is_a_quantity_of_kubernetes_that_is_about_right(size: int) -> None:
    text = binary_quantity(size)
    assert "e" not in text, "1e+03Ki is no quantity"
    number = text.rstrip("KMGTPi")
    factor = 1024 ** ["", "Ki", "Mi", "Gi", "Ti", "Pi"].index(text[len(number) :])
    assert abs(float(number) * factor - size) <= 0.006 * size
