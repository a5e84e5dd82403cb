"""Constant databases: what was written is read, and a broken file is never an absent key."""
import os

import pytest
from hypothesis import given, settings, strategies as st

from pyqmail.base import cdb
from pyqmail.base.errors import Temporary

RECORDS = [(b"!joe\0", b"joe\x00507"), (b"!joe\0", b"second"), (b"", b"-"), (b"!x", b"")]


def made(path, records):
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        cdb.write(fd, records)
    finally:
        os.close(fd)
    return path


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=40)), max_size=30))
def test_first_of_equal_keys(tmp_path_factory, records):
    path = made(tmp_path_factory.mktemp("cdb") / "cdb", records)
    reader = cdb.read(path)
    assert all(cdb.find(path, key) == reader.get(key) for key, _ in [*records, (b"not there, by its length", b"")])
    assert all(reader.get(key) == next(value for other, value in records if other == key) for key, _ in records)
    assert reader.get(b"a key that is not there, by its length") is None


def test_the_example_of_the_reference(tmp_path):
    path = made(tmp_path / "cdb", [(b"!joe\0", b"joe\x00507\x00100\x00/home/joe\0\0"), (b"", b"")])
    data = path.read_bytes()
    assert len(data) == 2124 and data[132 * 8:132 * 8 + 8] == (2108).to_bytes(4, "little") + b"\2\0\0\0"


def test_truncated_anywhere_is_trouble_not_absence(tmp_path):
    whole = made(tmp_path / "cdb", RECORDS).read_bytes()
    for length in range(len(whole) - 1, 0, -7):
        cut = tmp_path / "cut"
        cut.write_bytes(whole[:length])
        for ask in (lambda: cdb.read(cut).get(b"!joe\0"), lambda: cdb.find(cut, b"!joe\0")):
            try:
                assert ask() == b"joe\x00507"
            except Temporary:
                continue


@pytest.mark.parametrize("content", [b"", b"no database", b"\xff" * 2048, b"\0\x08\0\0\x02\0\0\0" * 256])
def test_no_database(tmp_path, content):
    (tmp_path / "cdb").write_bytes(content)
    with pytest.raises(Temporary):
        assert cdb.read(tmp_path / "cdb").get(b"!joe\0")
    with pytest.raises(Temporary):
        cdb.find(tmp_path / "cdb", b"!joe\0")
