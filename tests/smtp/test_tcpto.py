"""The table of hosts that did not answer."""
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyqmail.programs import qmail_tcpto
from pyqmail.smtp import tcpto
from pyqmail.smtp.tcpto import Record, after_answer, after_timeout, encode, parse, to_skip

A, B, FREE = b"192.0.2.1", b"192.0.2.2", Record(b"0.0.0.0", 0, 0)
NOW = 1_000_000

SKIP = [
    # record                   spread    skipped
    (Record(A, 1, NOW), 0, False),
    (Record(A, 2, NOW - 3839), 0, True),
    (Record(A, 2, NOW - 3840), 0, False),
    (Record(A, 2, NOW - 3840), 31, True),
    (Record(A, 9, NOW - 5824), 31, False),
]


@pytest.mark.parametrize("record, spread, skipped", SKIP)
def test_skip(record, spread, skipped):
    assert to_skip([FREE, record], A, NOW, spread) == (skipped, True)
    assert to_skip([FREE, record], B, NOW, spread) == (False, False)


TIMEOUTS = [
    # table                                                   change
    ([FREE, FREE], (0, Record(A, 1, NOW))),
    ([Record(B, 3, 5), Record(B, 0, 7)], (1, Record(A, 1, NOW))),
    ([Record(A, 1, NOW - 119)], None),
    ([Record(A, 1, NOW - 120)], (0, Record(A, 2, NOW))),
    ([Record(A, 0, NOW - 1)], (0, Record(A, 1, NOW))),
    ([Record(A, 10, NOW - 500)], (0, Record(A, 10, NOW))),
    ([Record(B, 2, 1000), Record(b"10.0.0.1", 1, 2023)], (1, Record(A, 1, NOW))),
    ([Record(B, 1, 1000), Record(b"10.0.0.1", 1, 1000)], (0, Record(A, 1, NOW))),
    ([], None),
]


@pytest.mark.parametrize("table, change", TIMEOUTS)
def test_timeout(table, change):
    assert after_timeout(table, A, NOW) == change


def test_an_answer_clears_the_count_and_keeps_the_rest():
    assert after_answer([FREE, Record(A, 4, 77)], A) == (1, Record(A, 0, 77))
    assert after_answer([FREE], A) is None


RECORDS = st.builds(Record, st.tuples(*[st.integers(0, 255)] * 4).map(lambda parts: b"%d.%d.%d.%d" % parts),
                    st.integers(0, 10), st.integers(0, 2**32 - 1))


@given(st.lists(RECORDS, max_size=64))
def test_records_survive_the_file(records):
    assert parse(b"".join(map(encode, records))) == records


@given(st.binary(max_size=2000))
def test_any_file_is_a_table(data):
    records = parse(data)
    assert len(records) == min(len(data), tcpto.SIZE) // tcpto.RECORD
    change = after_timeout(records, A, 2**31)
    assert change is None or 0 <= change[0] < len(records)


@pytest.fixture
def table(tmp_path, monkeypatch):
    path = tmp_path / "tcpto"
    path.write_bytes(tcpto.CLEAR)
    monkeypatch.setattr(tcpto, "path", lambda: str(path))
    return path


def test_a_timeout_is_remembered_until_the_host_answers(table):
    memory = tcpto.Table()
    memory.timed_out(A, NOW)
    memory.timed_out(A, NOW + 200)
    assert memory.skip(A, NOW + 300, 0) == (True, True)
    memory.answered(A)
    assert memory.skip(A, NOW + 300, 0) == (False, True)
    assert table.stat().st_size == tcpto.SIZE


def test_addresses_of_ipv6_have_no_place(table):
    tcpto.Table().timed_out(b"2001:db8::1", NOW)
    assert table.read_bytes() == tcpto.CLEAR


def test_without_the_file_everything_works(table):
    table.unlink()
    tcpto.Table().timed_out(A, NOW)
    assert tcpto.Table().skip(A, NOW, 0) == (False, False)
    assert not table.exists()


def test_a_locked_table_does_not_stop_an_event_loop(table):
    fd = os.open(table, os.O_RDWR)
    tcpto.lock(fd)
    memory = tcpto.Table(patient=False)
    memory.timed_out(A, NOW)
    assert memory.skip(A, NOW, 0) == (False, False) and table.read_bytes() == tcpto.CLEAR
    os.close(fd)


def test_a_time_in_the_future_is_shown_as_an_unsigned_age():
    assert list(qmail_tcpto.lines([Record(A, 1, NOW + 1)], NOW)) == [
        b"192.0.2.1 timed out 18446744073709551615 seconds ago; # recent timeouts: 1\n"]


def test_lines_of_qmail_tcpto():
    shown = list(qmail_tcpto.lines([FREE, Record(A, 2, NOW - 104)], NOW))
    assert shown == [b"192.0.2.1 timed out 104 seconds ago; # recent timeouts: 2\n"]


def test_an_address_that_only_looks_like_one_of_the_table(table):
    """The four bytes may stand anywhere in the file."""
    record = Record(b"7.7.192.0", 2, NOW)
    table.write_bytes(encode(record)[:4] + b"\x02\x01" + encode(record)[6:] + bytes(1008))
    assert b"\xc0\0\x02\x01" in table.read_bytes()
    assert tcpto.Table().skip(A, NOW, 0) == (False, False)
