"""What Courier's programs ask and are answered."""
import base64

import pytest
from hypothesis import given, settings as hypothesis_settings, strategies as st

from pyqmail.base.errors import Temporary
from pyqmail.imap import settings, wire
from pyqmail.imap.wire import Malformed, Request
from pyqmail.vpopmail import flags


def auth(data):
    return b"AUTH %d\n" % len(data) + data


CHALLENGE, ANSWER = b"<1.2@mail.example>", b"joe@example.com 0123456789abcdef0123456789abcdef"
CRAM = auth(b"imap\ncram-md5\n" + base64.b64encode(CHALLENGE) + b"\n" + base64.b64encode(ANSWER))
LOGIN = auth(b"imap\nlogin\njoe@example.com\npw\n")

REQUESTS = [
    (b"PRE . imap joe@example.com\n", Request(b"pre", b"imap", b"", [b"joe@example.com"])),
    (LOGIN, Request(b"login", b"imap", b"", [b"joe@example.com", b"pw"])),
    (auth(b"imap\nlogin\njoe\np w\t\xff"), Request(b"login", b"imap", b"", [b"joe", b"p w\t\xff"])),
    (b"TCPREMOTEIP=::ffff:192.0.2.7\n" + LOGIN, Request(b"login", b"imap", b"192.0.2.7", [b"joe@example.com", b"pw"])),
    (b"TCPREMOTEIP=2001:db8::1\nENUMERATE\n", Request(b"enumerate", b"", b"2001:db8::1")),
    (CRAM, Request(b"cram-md5", b"imap", b"", [b"joe@example.com", CHALLENGE, ANSWER.split()[1]])),
    (b"PASSWD imap\tjoe@example.com\told\tnew word\n",
     Request(b"passwd", b"imap", b"", [b"joe@example.com", b"old", b"new word"])),
    (b"ENUMERATE\n", Request(b"enumerate")),
]


@pytest.mark.parametrize("data, request_", REQUESTS)
def test_requests(data, request_):
    assert wire.parse(data) == request_
    assert wire.parse(data + b"whatever comes behind") == request_
    assert wire.unpacked(request_.packed()) == request_


@pytest.mark.parametrize("data, _", REQUESTS)
def test_one_byte_at_a_time(data, _):
    assert all(wire.parse(data[:length]) is None for length in range(len(data)))


@pytest.mark.parametrize("data", [
    b"HELLO\n", b"\n", b"ENUMERATE x\n", b"PRE imap joe\n", b"PRE . joe\n", b"PASSWD imap\tjoe\told\n",
    b"PASSWD imap\tjoe\told\tnew\tmore\n", b"AUTH x\n", b"AUTH -1\n", b"AUTH 99999\n", b"AUTH 8193\n",
    b"TCPREMOTEIP=mail.example\nENUMERATE\n", b"TCPREMOTEIP=" + b"1" * 60 + b"\nENUMERATE\n",
    auth(b""), auth(b"imap\nlogin\njoe"), auth(b"imap\nplain\njoe\npw\n"), auth(b"imap\ncram-md5\n!\n!\n"),
    b"x" * wire.LONGEST])
def test_what_is_no_request(data):
    with pytest.raises(Malformed):
        wire.parse(data)


def test_no_field_has_a_nul():
    with pytest.raises(Malformed):
        wire.parse(auth(b"imap\nlogin\njoe\0x\npw\n")).packed()


@pytest.mark.parametrize("data", [b"", b"login\0imap\0", b"login\0imap\0\0joe\0", b"login\0imap\0\0joe\0pw\0more\0",
                                  b"pre\0imap\0\0joe", b"other\0imap\0\0joe\0", b"enumerate\0\0"])
def test_what_the_keeper_does_not_take(data):
    with pytest.raises(Malformed):
        wire.unpacked(data)


@hypothesis_settings(max_examples=100, deadline=None)
@given(st.one_of(st.binary(max_size=300), st.builds(lambda data: auth(b"imap\n" + data), st.binary(max_size=200))))
def test_any_bytes(data):
    """A request, more to come, or none: never another exception; and what is one travels."""
    try:
        request = wire.parse(data)
        if request:
            assert wire.unpacked(request.packed()) == request
    except Malformed:
        pass


def test_attributes_are_one_line_each():
    pairs = ((b"UID", b"89"), (b"NAME", b"Joe\nUID=0"), (b"QUOTA", b""), (b"HOME", b"/h"))
    assert wire.attributes(pairs) == b"UID=89\nHOME=/h\n.\n"


@pytest.mark.parametrize("held, defaults, text", [
    (0, b"", b""), (flags.NO_IMAP, b"", b"disableimap=1"),
    (flags.NO_IMAP | flags.NO_POP | flags.NO_WEBMAIL, b"", b"disableimap=1,disablepop3=1,disablewebmail=1"),
    (0, b"disableimap=1", b"disableimap=1"), (flags.NO_POP, b"disablewebmail=1", b"disablewebmail=1,disablepop3=1"),
    (flags.NO_IMAP, b"disableimap=0", b"disableimap=1")])
def test_options(held, defaults, text):
    assert wire.options(held, defaults) == text


def test_settings(tmp_path):
    path = tmp_path / "authdaemonrc"
    path.write_text('##VERSION: x\nauthmodulelist="authpam authvchkpw"\n#daemons=9\ndaemons=7\nDEBUG_LOGIN=2\n'
                    "DEFAULTOPTIONS='disablewebmail=1'\nLOGGEROPTS=\"-facility=mail\"\nauthdaemonvar=/a/b\n")
    found = settings.read(str(path))
    assert (found.daemons, found.debug, found.defaults, found.directory, found.foreign) == (
        7, 2, b"disablewebmail=1", b"/a/b", [b"authpam"])
    found = settings.read(None)
    assert (found.daemons, found.debug, found.defaults, found.directory) == (5, 0, b"", b"/run/courier/authdaemon")


@pytest.mark.parametrize("text", ['authmodulelist="authpam"', "daemons=many", "daemons=" + "9" * 5000, "DEBUG_LOGIN="])
def test_settings_that_are_wrong(tmp_path, text):
    path = tmp_path / "authdaemonrc"
    path.write_text(text + "\n")
    with pytest.raises(Temporary):
        settings.read(str(path))
    with pytest.raises(Temporary):
        settings.read(str(tmp_path / "none"))
