"""Records of envelope files, in pieces of any size; marks; going through directories."""
import os

import pytest
from hypothesis import given, settings, strategies as st

from pyqmail.queue import envelope, marks, scan


def read(data, piece=8192):
    reader, writer = os.pipe()
    os.write(writer, data)
    os.close(writer)
    try:
        return list(envelope.records(reader, piece))
    finally:
        os.close(reader)


@pytest.mark.parametrize("data, records", [
    (b"", []),
    (b"Fs@a", []),
    (b"F\0", [(0, b"F")]),
    (b"u1\0p2\0Fs@a\0Tj@b\0", [(0, b"u1"), (3, b"p2"), (6, b"Fs@a"), (11, b"Tj@b")]),
    (b"Ta\0\0Tb", [(0, b"Ta"), (3, b"")]),
])
def test_records(data, records):
    assert read(data) == records
    assert read(data, 1) == records


@settings(max_examples=80)
@given(st.lists(st.binary(max_size=30).map(lambda data: data.replace(b"\0", b""))), st.binary(max_size=9),
       st.integers(1, 40))
def test_records_in_any_pieces(records, rest, piece):
    rest = rest.replace(b"\0", b"")
    data = b"".join(record + b"\0" for record in records) + rest
    found = read(data, piece)
    assert [record for _, record in found] == records
    assert all(data[offset:offset + len(record) + 1] == record + b"\0" for offset, record in found)


def test_a_record_without_end_is_refused(tmp_path):
    path = tmp_path / "endless"
    path.write_bytes(b"T" * (envelope.LONGEST + envelope.PIECE + 1))
    fd = os.open(path, os.O_RDONLY)
    with pytest.raises(envelope.TooLong):
        list(envelope.records(fd))
    os.close(fd)


@pytest.fixture
def queue(tmp_path, monkeypatch):
    for kind in ("mess", "info", "local"):
        for split in range(23):
            (tmp_path / kind / str(split)).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("content, sender", [
    (b"Fs@a\0", b"s@a"), (b"F\0", b""), (b"Fone\0Ftwo\0", b"one"), (b"", None), (b"Fs@a", None), (b"Ts@a\0", None)])
def test_info(queue, content, sender):
    path = queue / "info/12/1001"
    path.write_bytes(content)
    os.utime(path, (5, 1_000_000_000))
    assert envelope.info(1001) == (None if sender is None else (sender, 1_000_000_000))


def test_info_missing(queue):
    assert envelope.info(1001) is None


def test_mark_changes_one_byte(queue):
    path = queue / "local/12/1001"
    path.write_bytes(b"Ta@x\0Tb@x\0")
    marks.done("local", 1001, 5)
    assert path.read_bytes() == b"Ta@x\0Db@x\0"
    with pytest.raises(FileNotFoundError):
        marks.done("local", 1002, 0)


def test_split_scan_goes_in_order_and_repeats_what_cannot_be_listed(queue):
    for name in ("info/0/23", "info/5/1001", "info/5/x", "info/22/22"):
        (queue / name).write_bytes(b"")
    os.rmdir(queue / "info/7")
    entries, found = scan.SplitScan("info"), []
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            for place in entries:
                found.append(place)
        assert len(found) == 3
        assert entries.where == "info/7"
    os.mkdir(queue / "info/7")
    found += entries
    assert found[0] == (0, b"23") and found[-1] == (22, b"22")
    assert sorted(found[1:3]) == [(5, b"1001"), (5, b"x")]
    assert [scan.in_place(*place) for place in ((0, b"23"), (5, b"1001"), (5, b"x"), (0, b"023"), (22, b"22"))] == [
        23, None, None, None, 22]


def test_count_files(queue):
    for name in ("mess/0/23", "mess/1/x", "mess/deeper"):
        (queue / name).write_bytes(b"")
    os.symlink("x", queue / "mess/link")
    troubles = []
    assert scan.count_files("mess", troubles.append) == 3
    assert scan.count_files("nowhere", troubles.append) == 0
    assert [type(trouble) for trouble in troubles] == [FileNotFoundError]
