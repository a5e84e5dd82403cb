"""Exit codes and output of a local delivery, as reported."""
import pytest
from hypothesis import given, strategies as st

from pyqmail.spawn import ending
from pyqmail.users import codes

SAID = b"some text\n"
TABLE = [(0, b"K" + SAID), (100, b"D" + SAID), (1, b"D" + SAID), (99, b"D" + SAID), (255, b"D" + SAID),
         (111, b"Z" + SAID),
         (71, b"Z" + SAID), (74, b"Z" + SAID), (75, b"Z" + SAID), (-9, b"Zqmail-local crashed.\n"),
         (codes.ROOT, b"ZNot allowed to perform deliveries as root.\n"), (126, b"DUnable to run qmail-local.\n"),
         (114, b"D" + SAID), (127, b"D" + SAID)]


def output(*pieces):
    kept = ending.Output()
    for piece in pieces:
        kept.add(piece)
    return kept


@pytest.mark.parametrize("status, text", TABLE)
def test_report(status, text):
    assert ending.report(status, SAID) == text


@given(st.lists(st.integers(0, 900), max_size=12))
def test_output_is_cut(lengths):
    total = sum(lengths)
    text = output(*(b"x" * length for length in lengths)).text()
    assert text == (b"x" * total if total <= 3000 else b"x" * 2966 + b"\nError report too long, sorry.\n")


def test_output_ends_at_nul():
    assert output(b"a", b"b\0c", b"d" * 4000).text() == b"ab"
