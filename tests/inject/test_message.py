import pytest

from pyqmail.inject.environment import Identity
from pyqmail.inject.message import Draft, Stamp
from pyqmail.inject.rewrite import Completer
from pyqmail.inject.tokens import Unparsable

SECONDS = 1795338307                # 2026-11-22 09:05:07 UTC
DATE, MESSAGE_ID = b"Date: 22 Nov 2026 09:05:07 -0000\n", b"Message-ID: <20261122090507.4711.qmail@id.example>\n"
FROM, NOT_SHOWN = b"From: joe@dh.example\n", b"Cc: recipient list not shown: ;\n"


def draft(*fields, sender=None, lists=(), **environ):
    identity = Identity({name.encode(): value for name, value in (environ or {"USER": b"joe"}).items()})
    made = Draft(identity, Completer(b"dh.example", b"dd.example", b"pd.example"),
                 Stamp(SECONDS, 4711, b"id.example"), sender, frozenset(lists))
    for field in fields:
        made.add(field)
    return made


@pytest.mark.parametrize("fields, header", [
    ([], DATE + MESSAGE_ID + FROM + NOT_SHOWN),
    ([b"To: a\n"], DATE + MESSAGE_ID + FROM + b"To: a@dh.example\n"),
    ([b"cC:\n"], DATE + MESSAGE_ID + FROM + b"cC:\n"),
    ([b"Bcc: a\n"], DATE + MESSAGE_ID + FROM + NOT_SHOWN),
    ([b"Date: x\n", b"Message-Id: y\n", b"From: a\n", b"Apparently-To: b\n"],
     NOT_SHOWN + b"Date: x\nMessage-Id: y\nFrom: a@dh.example\nApparently-To: b@dh.example\n"),
    ([b"X: 1\n", b"Content-Length: 2\n 3\n", b"Return-Path: <a>\n", b"To: (\n"],
     DATE + MESSAGE_ID + FROM + b"X: 1\nTo: (\n"),
    ([b"Resent-Bcc: a\n"], b"Resent-" + DATE + b"Resent-" + MESSAGE_ID + b"Resent-" + FROM + b"Resent-" + NOT_SHOWN),
    ([b"Resent-Date: x\n", b"Resent-To: a@b.c\n"],
     b"Resent-" + MESSAGE_ID + b"Resent-" + FROM + b"Resent-Date: x\nResent-To: a@b.c\n"),
])
def test_header(fields, header):
    assert draft(*fields).header() == header


@pytest.mark.parametrize("fields, recipients", [
    ([b"To: a@x.y, b@x.y\n", b"Bcc: c@x.y\n", b"Apparently-To: d@x.y\n"], [b"b@x.y", b"a@x.y", b"c@x.y", b"d@x.y"]),
    ([b"To: a@x.y\n", b"Resent-Cc: b@x.y\n", b"Resent-Bcc: c@x.y\n"], [b"b@x.y", b"c@x.y"]),
    ([b"Cc: a@x.y, g: b@x.y\n"], [b"b@x.y"]),
    ([b"Sender: a@x.y\n", b"Reply-To: b@x.y\n"], []),
    ([b'To: "a\0b"@x.y\n'], [b"a"]),
])
def test_recipients(fields, recipients):
    assert draft(*fields).recipients() == recipients


@pytest.mark.parametrize("environ, fields, sender", [
    ({"USER": b"joe"}, [], b"joe@dh.example"),
    ({"X": b""}, [], b"anonymous@dh.example"),
    ({"QMAILUSER": b"", "USER": b"joe"}, [], b"@dh.example"),
    ({"USER": b"joe", "MAILHOST": b"h"}, [], b"joe@h.dd.example"),
    ({"USER": b"joe", "QMAILHOST": b"h", "QMAILSHOST": b"s.t", "QMAILSUSER": b"b o"}, [], b"b o@s.t"),
    ({"USER": b"joe", "QMAILINJECT": b"r"}, [], b"joe-@dh.example-@[]"),
    ({"USER": b"joe", "QMAILINJECT": b"mr"}, [], b"joe-%d.4711-@dh.example-@[]" % SECONDS),
    ({"USER": b"joe", "QMAILINJECT": b"r"}, [b"Return-Path: <a@b.c>\n"], b"a@b.c-@[]"),
    ({"USER": b"joe", "QMAILINJECT": b"s"}, [b"Return-Path: <a@b.c>\n"], b"joe@dh.example"),
    ({"USER": b"joe"}, [b"Return-Path: <>\n", b"Return-Path: x\n"], b""),
    ({"USER": b"joe"}, [b"Return-Path: a, b@c.d\n"], b"b@c.d"),
    ({"USER": b"joe"}, [b"Return-Path:\n"], b"joe@dh.example"),
    ({"USER": b"joe", "QMAILSHOST": b"a@b,"}, [], b"joe@a@b.dd.example"),
    ({"USER": b"joe", "QMAILSHOST": b"<ba: ;"}, [], b""),
])
def test_sender(environ, fields, sender):
    assert draft(*fields, **environ).sender() == sender


def test_a_given_sender_counts_before_everything_else():
    made = draft(b"Return-Path: <a@b.c>\n", sender=b"", QMAILINJECT=b"r", USER=b"joe")
    assert made.sender() == b""


@pytest.mark.parametrize("environ, line", [
    ({"USER": b"joe user"}, b'From: "joe user"@dh.example\n'),
    ({"USER": b"joe.user"}, b"From: joe.user@dh.example\n"),
    ({"USER": b"joe", "NAME": b"J (U)"}, b'From: "J \\(U\\)" <joe@dh.example>\n'),
    ({"USER": b"joe", "NAME": b"", "QMAILINJECT": b"f"}, b'From: "" <joe@dh.example>\n'),
    ({"USER": b"joe", "NAME": b"J (U)", "QMAILINJECT": b"c"}, b"From: joe@dh.example (J \\(U\\))\n"),
    ({"USER": b"joe", "NAME": b"a\nX: y"}, b'From: "a\\\nX: y" <joe@dh.example>\n'),
    ({"USER": b"joe", "QMAILHOST": b"[1.2]"}, b'From: joe@\\[1."2\\]"\n'),
])
def test_from(environ, line):
    assert line in draft(b"Date: d\n", b"Message-ID: m\n", b"To: a@b.c\n", **environ).header()


def test_deleted_fields_were_never_there():
    made = draft(b"From: a\n", b"Message-ID: m\n", b"Return-Path: b\n", USER=b"joe", QMAILINJECT=b"xsfi")
    assert made.header() == DATE + MESSAGE_ID + FROM + NOT_SHOWN
    assert made.sender() == b"joe@dh.example"


@pytest.mark.parametrize("fields", [
    [b"To: a\n", b"Bcc: list@l.example\n"],
    [b"To: list2@l.example\n"],
    [b"To: list@l.example\n", b"mail-followup-to: x\n"],
    [b"To: list@l.example\n", b"Resent-To: a\n"],
])
def test_no_mail_followup_to(fields):
    assert b"Mail-Followup-To" not in draft(*fields, lists=[b"list@l.example"]).header()


def test_mail_followup_to_names_everybody():
    header = draft(b'To: LIST@l.example, "a b"\n', b"Cc: c@d.e\n", lists=[b"list@l.example"]).header()
    assert b'\nMail-Followup-To: c@d.e,\n  LIST@l.example,\n  "a b"@dh.example\nTo: ' in header


@pytest.mark.parametrize("name", [b"From", b"Sender", b"Reply-To", b"Return-Path", b"Return-Receipt-To", b"Errors-To",
                                  b"Resent-From", b"Resent-Sender", b"Resent-Reply-To"])
@pytest.mark.parametrize("contents", [b"a (b", b"a: b"])
def test_sender_fields_must_parse(name, contents):
    field = b"%b: %b\n" % (name, contents)
    with pytest.raises(Unparsable) as raised:
        draft(field)
    assert raised.value.args == (b"unable to parse this line:\n" + field,)
