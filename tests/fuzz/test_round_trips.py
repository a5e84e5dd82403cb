"""What one end writes, the other reads: for the formats whose own tests do not say so already."""
import calendar
import os
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from pyqmail.base import date, maildirsize
from pyqmail.imap import wire as imap
from pyqmail.pop3 import wire as pop3
from pyqmail.queue import client, insert, suspects
from pyqmail.smtp import tcpto
from pyqmail.smtp.data import DataReader
from pyqmail.smtp.data_writer import DataWriter
from pyqmail.vpopmail import account, checker, limits, quotas

from . import models

FEW = settings(max_examples=60, deadline=None)
SECONDS = st.integers(0, 4_000_000_000)
FIELD = st.binary(max_size=30).map(lambda text: text.translate(None, b":\n\0"))
NUMBER = st.integers(0, 2**32 - 1)
ODD = st.sampled_from([b".", b"..", b"\r", b"\n", b"\r\n", b"x", b"From ", b">", b"\0", b"\xff"])
ODD_LINES = st.lists(ODD, max_size=30).map(b"".join)
CLEAR = st.binary(max_size=30).map(lambda text: text.replace(b"\n", b""))
SIGNED = st.integers(-2**40, 2**40)
LIMITS = st.fixed_dictionaries({name: SIGNED for name in (*limits.MAXIMA, *limits.QUOTAS, *limits.PERMISSIONS)})
STAGES = st.sampled_from([*suspects.WHO, suspects.HOLD, suspects.HELD])


@given(SECONDS)
@FEW
def test_dates(seconds):
    day, month, year, clock, zone = date.rfc822(seconds).decode().split(" ")
    assert zone == "-0000" and day == day.lstrip("0")
    assert calendar.timegm(time.strptime(f"{day} {month} {year} {clock}", "%d %b %Y %H:%M:%S")) == seconds
    assert calendar.timegm(time.strptime(date.from_line(seconds).decode(), "%a %b %d %H:%M:%S %Y")) == seconds


@given(FIELD, FIELD, NUMBER, NUMBER, FIELD, FIELD, FIELD, CLEAR, st.booleans())
@FEW
def test_accounts(name, hashed, uidfield, held, comment, directory, quota, clear, keep):
    made = account.Account(name, hashed, uidfield, held, comment, directory, quota, clear)
    assert account.parse(*account.split(account.line(made, keep))) == made


@given(LIMITS, st.sets(st.sampled_from([flag for _, flag in limits.WORDS])))
@FEW
def test_limits(numbers, held):
    made = limits.Limits()
    made.numbers, made.flags = numbers, sum(held)
    found = limits.parse(limits.form(made))
    assert found.numbers == numbers and found.flags == made.flags


@given(st.integers(0, 10**17), st.integers(0, 10**17))
@FEW
def test_quotas(size, count):
    given_text = b",".join([b"%dS" % size] * bool(size) + [b"%dC" % count] * bool(count)) or b"NOQUOTA"
    stored = quotas.normal(given_text)
    found = maildirsize.parse(stored)
    assert stored == given_text and (found.bytes, found.count) == (size, count) and quotas.limits(stored) == bool(found)


@given(st.lists(st.tuples(st.binary(min_size=4, max_size=4), st.integers(0, 10), NUMBER), max_size=64))
@FEW
def test_table_of_silent_hosts(found):
    records = [tcpto.Record(b"%d.%d.%d.%d" % tuple(address), count, when) for address, count, when in found]
    assert tcpto.parse(b"".join(map(tcpto.encode, records))) == records


@given(st.dictionaries(st.tuples(STAGES, st.integers(0, 2**64 - 1)),
                       st.tuples(st.integers(0, 2**63), st.integers(0, 9)), max_size=20))
@FEW
def test_suspects(tmp_path_factory, entries):
    file = suspects.File(str(tmp_path_factory.getbasetemp()))
    try:
        file.change(lambda _: entries)
        assert file.read() == entries
    finally:
        os.close(file.fd)


@given(st.integers(0, 2**32), st.integers(0, 2**32), st.lists(FIELD, min_size=7, max_size=7))
@FEW
def test_who_has_logged_in(uid, gid, fields):
    made = checker.Admitted(uid, gid, **dict(zip(checker.Admitted.FIELDS, fields)))
    assert vars(checker.Admitted.unpack(made.pack())) == vars(made)


@given(st.sampled_from(sorted(imap.WORDS)), FIELD, FIELD, st.data())
@FEW
def test_requests_to_authdaemond(kind, service, ip, data):
    count = imap.WORDS[kind]
    request = imap.Request(kind, service, ip, data.draw(st.lists(FIELD, min_size=count, max_size=count)))
    assert imap.unpacked(request.packed()) == request


@given(FIELD, st.lists(FIELD, max_size=120))
@FEW
def test_envelopes(sender, recipients):
    stream = b"".join(client.envelope(sender, recipients))
    records, code = models.envelope(stream)
    assert code is None and records == [b"F" + sender, *(b"T" + each for each in recipients)]
    good, done, _, rest = insert.take(stream, b"F")
    assert done and good + b"\0" == stream and not rest


@given(ODD_LINES)
@settings(max_examples=300, deadline=None)
def test_text_over_smtp_and_over_pop3(message):
    """Out of our client into our server; out of our POP3 server into a reader."""
    message = message.replace(b"\r\n", b"\n").replace(b"\r", b"\n") + b"\n"
    writer, reader = DataWriter(), DataReader()
    stream = writer.feed(message) + writer.finish()
    reader.feed(stream + b"RSET\r\n")
    assert reader.next_text() == message == models.unstuffed(stream)
    assert reader.over and reader.take_rest() == b"RSET\r\n"
    assert models.unstuffed(b"".join(pop3.transparency([message]))) == message + b"\n"
