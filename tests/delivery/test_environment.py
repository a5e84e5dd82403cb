import pytest

from pyqmail.delivery import environment
from pyqmail.delivery.deliver import Order


def variables(local=b"joe", ext=b"", domain=b"host.example", sender=b"sue@a.example", environ=None, default=None):
    order = Order(b"joe", b"/home/joe", local, b"-", ext, domain, sender, b"./Mailbox", environ=environ or {})
    return environment.variables(order, 0, b"new@sender", default)


def test_the_whole_table():
    assert variables(b"joe-list-a.B-c", b"list-a.B-c", b"sub.host.example.org", b"sen der@x.test",
                     environ={b"FOO": b"kept"}, default=b"a.B-c") == {
        b"FOO": b"kept", b"USER": b"joe", b"HOME": b"/home/joe", b"LOCAL": b"joe-list-a.B-c",
        b"SENDER": b"sen der@x.test", b"NEWSENDER": b"new@sender", b"RECIPIENT": b"joe-list-a.B-c@sub.host.example.org",
        b"HOST": b"sub.host.example.org", b"HOST2": b"sub.host.example", b"HOST3": b"sub.host", b"HOST4": b"sub",
        b"EXT": b"list-a.B-c", b"EXT2": b"a.B-c", b"EXT3": b"c", b"EXT4": b"", b"DEFAULT": b"a.B-c",
        b"DTLINE": b"Delivered-To: joe-list-a.B-c@sub.host.example.org\n",
        b"RPLINE": b'Return-Path: <"sen der"@x.test>\n',
        b"UFLINE": b"From sen-der@x.test Thu Jan 01 00:00:00 1970\n",
    }


@pytest.mark.parametrize("host, parts", [
    (b"h", [b"h", b"h", b"h", b"h"]), (b"a..b.", [b"a..b.", b"a..b", b"a.", b"a"]), (b"", [b"", b"", b"", b""]),
])
def test_host_parts(host, parts):
    found = variables(domain=host)
    assert [found[name] for name in (b"HOST", b"HOST2", b"HOST3", b"HOST4")] == parts


@pytest.mark.parametrize("ext, parts", [
    (b"", [b"", b"", b"", b""]), (b"-a--b-", [b"-a--b-", b"a--b-", b"-b-", b"b-"]),
])
def test_extension_parts(ext, parts):
    found = variables(ext=ext)
    assert [found[name] for name in (b"EXT", b"EXT2", b"EXT3", b"EXT4")] == parts


def test_callers_variables():
    given = {b"SENDER": b"bad", b"EXT4": b"bad", b"DEFAULT": b"outer"}
    found = variables(environ=given)
    assert (found[b"SENDER"], found[b"EXT4"], found[b"DEFAULT"]) == (b"sue@a.example", b"", b"outer")
    assert given == {b"SENDER": b"bad", b"EXT4": b"bad", b"DEFAULT": b"outer"}
    assert variables(environ=given, default=b"")[b"DEFAULT"] == b""


@pytest.mark.parametrize("sender, path, from_", [
    (b"", b"<>", b"MAILER-DAEMON"),
    (b"a b\tc\nd@ho st\n", b'<"a b\tc\\_d"@ho st_>', b"a-b-c-d@ho-st-"),
    (b"@host", b'<""@host>', b"@host"),
])
def test_lines_stay_lines(sender, path, from_):
    assert environment.return_path(sender) == b"Return-Path: %b\n" % path
    assert environment.from_line(sender, 0) == b"From %b Thu Jan 01 00:00:00 1970\n" % from_


def test_delivered_to_is_one_line():
    assert environment.delivered_to(b"a\nb c", b"h\n") == b"Delivered-To: a_b c@h_\n"
