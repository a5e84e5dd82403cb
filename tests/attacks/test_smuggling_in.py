"""SMTP smuggling (2023, Postfix CVE-2023-51764 and others): a second message hidden in the first.

Servers that disagree on what ends a message can be made to see two where the sender sent one. Only
CRLF.CRLF ends it here, and text in which a CR or LF stands alone is not taken at all.
"""
import pytest

HIDDEN = b"MAIL FROM:<admin@local.test>\r\nRCPT TO:<victim@local.test>\r\nDATA\r\nhidden\r\n"
STRAY = b"451 See https://cr.yp.to/docs/smtplf.html.\r\n"


@pytest.mark.parametrize("end", [
    b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\r\r\n.\r\n", b"\n\r\n.\r\n",
    b"\r\n.\r\r\n", b"\r\n\n.\r\n",
    b"\n.\r", b"\n\n.\r\n", b"x\rx\r\n.\r\n", b"x\nx\r\n.\r\n", b"\r\n.\rx\r\n"])
def test_stray_newline_is_refused(smtpd, end):
    connection = smtpd()
    connection.opened()
    connection.hears(b"visible" + end + HIDDEN + b".\r\n")
    connection.says(STRAY)
    connection.says(b"")
    assert connection.queued == [] and connection.process.returncode == 1


@pytest.mark.parametrize("end", [b"\0\r\n.\0\r\n", b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\r\n. \r\n", b"\r\n..\r\n",
    b".\r\n", b"\x0b.\x0b", b"\x85.\x85"])
def test_what_is_no_end_is_text(smtpd, end):
    connection = smtpd()
    connection.opened()
    connection.hears(b"visible" + end + HIDDEN + b".\r\nQUIT\r\n")
    reply = connection.ours.recv(4096)
    assert reply.startswith(b"250 ok ") and b"\n250" not in reply
    (message, envelope), = connection.queued
    assert b"hidden\n" in message and b"victim" not in envelope
