"""qmail-remote's records and what qmail-rspawn makes of them."""
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyqmail.smtp import reports

TABLE = [
    # records                                 report
    (b"rfine\n\0Kok\n\0", b"Kfine\nok\n"),
    (b"rfine\n\0Dnever\n\0", b"Dfine\nnever\n"),
    (b"sbusy\n\0Kok\n\0", b"Zbusy\n"),
    (b"sbusy\n\0Dnever\n\0", b"Zbusy\nnever\n"),
    (b"hno\n\0Zlater\n\0", b"Dno\n"),
    (b"hno\n\0Dnever\n\0", b"Dno\nnever\n"),
    (b"Zno connection\n\0", b"Zno connection\n"),
    (b"r\0", b"D"), (b"rfine\n", b"D"), (b"snot\n", b"Z"), (b"\0", b"D"),
    (b"rfine\n\0\0Kok\n\0", b"Kfine\n"),
    (b"\0Kok\n\0", b"KKok\n"),
    (b"ra\n\0sb\n\0Kok\n\0", b"Ka\n"),
    (b"rr\0Km\0Zignored\0", b"Krm"),
    (b"hno\n\0Dnever\n", b"Dno\nnever\n"), (b"rfine\n\0Kok\n", b"Dfine\nok\n"), (b"D\0Zlater\n", b"Dlater\n"),
]


@pytest.mark.parametrize("output, report", TABLE)
def test_summary(output, report):
    assert reports.summary(output) == reports.ended(0, output) == report


@pytest.mark.parametrize("status, report", [
    (111, reports.NOT_RUN), (100, reports.REFUSED_TO_RUN), (1, reports.REFUSED_TO_RUN), (-9, reports.CRASHED)])
def test_what_was_said_does_not_count_unless_the_program_ended_well(status, report):
    assert reports.ended(status, b"r\0Kok\n\0") == report


def test_silence():
    assert reports.ended(0, b"") == reports.SILENT


@given(st.lists(st.sampled_from([b"r", b"h", b"s", b"K", b"Z", b"D", b"\0", b"x"]), min_size=1).map(b"".join))
def test_any_output_gives_one_letter_and_no_nul(output):
    report = reports.summary(output)
    assert report[:1] in (b"K", b"Z", b"D") and b"\0" not in report
    if output[:1] in b"hs":
        assert report[:1] != b"K"               # a refused recipient is never delivered


def test_hosts_are_shown_printable():
    assert reports.no_such_host(b"no such\xe9\n.test") == \
        b"DSorry, I couldn't find any host named no?such??.test. (#5.1.2)\n"


EACH = [
    # records of a dialogue with three recipients             reports
    (b"r\0hno\n\0sbusy\n\0Kok\n\0", [b"Kok\n", b"Dno\n", b"Zbusy\n"]),
    (b"r\0r\0r\0Zlater\n\0", [b"Zlater\n"] * 3),
    (b"hno\n\0hno\n\0hno\n\0Dgiving up\n\0", [b"Dno\ngiving up\n"] * 3),
    (b"r\0Zdied\n\0", [b"Zdied\n"] * 3),
    (b"hno\n\0Zdied\n\0", [b"Dno\n", b"Zdied\n", b"Zdied\n"]),
    (b"Dno host\n\0", [b"Dno host\n"] * 3),
    (b"r\0r\0r\0Kok\n\0Zbug\n\0", [b"Kok\n"] * 3),
]


@pytest.mark.parametrize("output, texts", EACH)
def test_recipients_who_shared_a_dialogue(output, texts):
    found = reports.of_each(output, 3)
    assert [text[:1] for text in found] == [text[:1] for text in texts]
    assert all(mine.startswith(text[:-1]) for mine, text in zip(found, texts, strict=True))
