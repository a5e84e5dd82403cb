"""A record appended to a constant database is found, and so are all others."""
import io

import cdblib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyqmail.base import cdb_append
from pyqmail.base.errors import Temporary


def made(records):
    memory = io.BytesIO()
    with cdblib.Writer(memory) as writer:
        for key, value in records:
            writer.put(key, value)
    return memory.getvalue()


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.binary(max_size=8), st.binary(max_size=8), max_size=30), st.binary(max_size=8), st.binary(max_size=8))
def test_everything_is_found(records, key, value):
    data = made(records.items())
    new = cdblib.Reader(data=b"".join(cdb_append.appended(data, key, value)))
    for known, expected in records.items():
        assert new.get(known) == expected
    assert new.get(key) == records.get(key, value)
    assert len(new.items()) == len(records) + 1


def test_many_one_after_the_other():
    data = made([])
    for number in range(300):
        data = b"".join(cdb_append.appended(data, b"u%d" % number, b"%d" % number))
    assert data == made((b"u%d" % number, b"%d" % number) for number in range(300))


@pytest.mark.parametrize("data", [b"", b"x" * 100, b"\xff" * 4096])
def test_what_is_no_database(data):
    with pytest.raises(Temporary):
        cdb_append.appended(data, b"k", b"v")
