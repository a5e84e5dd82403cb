"""What Courier's programs ask authdaemond, and what they are answered. Both ends know one request a connection.

    TCPREMOTEIP=::ffff:192.0.2.7              may precede any of these
    PRE . imap joe@example.com                who is that?
    AUTH 30                                   and so many bytes: imap, login, name, password, a line each;
                                              or imap, cram-md5, challenge, answer, the last two in base64
    PASSWD imap<TAB>joe@example.com<TAB>old<TAB>new
    ENUMERATE

    UID=89 … OPTIONS=disableimap=1            a line for each attribute, then a line "."
    OK                                        a password was changed
    FAIL                                      unknown, wrong, or not allowed

No answer means that it cannot be told now. Between our own processes a Request travels as its fields, each ended by
NUL. Source: authdaemond's socket, as observed.
"""
import binascii

from ..vpopmail.flags import NO_IMAP, NO_POP, NO_WEBMAIL
from ..vpopmail.login import METHODS

LONGEST = 8192                      # bytes of a request
PREFIX = b"TCPREMOTEIP="
ADDRESS, ADDRESS_LENGTH = b"0123456789abcdefABCDEF.:", 45
LOGIN, PRE, PASSWD, ENUMERATE = b"login", b"pre", b"passwd", b"enumerate"
#                                    words of a request of each kind
WORDS = {LOGIN: 2, PRE: 1, PASSWD: 3, ENUMERATE: 0, **{method: 3 for method in METHODS}}
FAIL, OK, END = b"FAIL\n", b"OK\n", b".\n"
HEADING = b"# authvchkpw\n\n"
DISABLED = ((NO_IMAP, b"disableimap"), (NO_POP, b"disablepop3"), (NO_WEBMAIL, b"disablewebmail"))


class Malformed(Exception):
    """Nothing that can be answered: the connection is closed."""


class Request:
    """kind: of WORDS. service: b"imap", … ip: the client's address, b"" if unknown. words: name and what else
    belongs to the kind: password; challenge, answer; old and new password."""

    __slots__ = ("kind", "service", "ip", "words")

    def __init__(self, kind, service=b"", ip=b"", words=()):
        self.kind, self.service, self.ip, self.words = kind, service, ip, tuple(words)

    def __eq__(self, other):
        return isinstance(other, Request) and self.packed() == other.packed()

    def __repr__(self):
        return f"Request({self.kind!r}, {self.service!r}, {self.ip!r}, {self.words!r})"

    def packed(self):
        """For unpacked(). Raises Malformed for a NUL in any field: no name and no password has one."""
        fields = (self.kind, self.service, self.ip, *self.words)
        if any(b"\0" in field for field in fields):
            raise Malformed("NUL")
        return b"".join(field + b"\0" for field in fields)


def unpacked(data):
    """The Request of packed(). Raises Malformed."""
    *fields, last = data.split(b"\0")
    if last or len(fields) < 3 or WORDS.get(fields[0]) != len(fields) - 3:
        raise Malformed("no request")
    return Request(*fields[:3], fields[3:])


def parse(data):
    """The Request that `data` begins with, None if it has not come completely. Raises Malformed."""
    found = _parse(data)
    if found is None and len(data) >= LONGEST:
        raise Malformed("too long")
    return found


def _parse(data):
    line, end, rest = data.partition(b"\n")
    ip = b""
    if end and line.startswith(PREFIX):
        ip = address(line[len(PREFIX):])
        line, end, rest = rest.partition(b"\n")
    if not end:
        return None
    verb, _, words = line.partition(b" ")
    if verb == b"AUTH":
        if not words.isdigit() or len(words) > 4 or int(words) > LONGEST:
            raise Malformed("length")
        return authentication(rest[:int(words)], ip) if len(rest) >= int(words) else None
    if verb == b"PRE":
        dot, _, words = words.partition(b" ")
        service, space, name = words.partition(b" ")
        if dot != b"." or not space:
            raise Malformed("PRE")
        return Request(PRE, service, ip, [name])
    if verb == b"PASSWD":
        service, *words = words.split(b"\t")
        if len(words) != WORDS[PASSWD]:
            raise Malformed("PASSWD")
        return Request(PASSWD, service, ip, words)
    if line == b"ENUMERATE":
        return Request(ENUMERATE, ip=ip)
    raise Malformed("unknown request")


def address(text):
    """The client's address in its own form. Raises Malformed."""
    if len(text) > ADDRESS_LENGTH + len(b"::ffff:") or text.strip(ADDRESS):
        raise Malformed("address")
    return text.removeprefix(b"::ffff:") if b"." in text else text


def authentication(data, ip):
    """The Request in the bytes of AUTH. Raises Malformed; for kinds that nobody here knows, too."""
    service, *lines = data.split(b"\n")
    kind, words = (lines[0], lines[1:3]) if len(lines) > 2 else (b"", [])
    if kind == LOGIN:
        return Request(LOGIN, service, ip, words)
    if kind not in METHODS:
        raise Malformed("kind of authentication")
    try:
        challenge, answer = (binascii.a2b_base64(word, strict_mode=True) for word in words)
    except binascii.Error:
        raise Malformed("base64") from None
    name, _, digest = answer.rpartition(b" ")
    return Request(kind, service, ip, [name, challenge, digest])


def attributes(pairs):
    """The answer for a user: (NAME, value) pairs. Nothing without a value, nothing that would be two lines."""
    lines = (b"%b=%b\n" % (name, value) for name, value in pairs if value and b"\n" not in value)
    return b"".join(lines) + END


def options(flags, defaults):
    """OPTIONS of an account. defaults: b"disablewebmail=1,…", which hold for what the flags do not say."""
    found = dict(entry.partition(b"=")[::2] for entry in defaults.split(b",") if entry)
    found |= {name: b"1" for flag, name in DISABLED if flags & flag}
    return b",".join(b"%b=%b" % pair for pair in found.items())


def listed(name, uid, gid, home, options):
    """A user's line in the answer to ENUMERATE."""
    return b"\t".join((name, b"%d" % uid, b"%d" % gid, home, home + b"/Maildir", options)) + b"\n"
