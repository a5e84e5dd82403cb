"""tcpserver's rules: who may connect, and with which environment variables.

Source text: one rule a line, `ADDRESS:allow` or `ADDRESS:deny`, then any number of `,VAR="x"` (the
quote may be any character). Lines that start with "#" and lines without a colon are skipped. In
1.2.3.37-53: and 10.2-3.: a range stands for all its numbers. Ours beyond tcprules(1): an IPv6
address, or a prefix of one that ends in a colon and is written without "::".

Compiled: a cdb, address -> instructions: "D" NUL for deny, then "+VAR=x" NUL for each variable.
Source: tcprules(1), and the files and verdicts of the original programs.
"""
import os

from . import cdb, control, netio
from .errors import Permanent, Temporary, text
from .filemark import mark

IPV6_GROUPS = 8
MAPPED = b"::ffff:"                 # an IPv4 address on an IPv6 socket; clients are known without it
DIGITS = 18                         # of a number in a range


def compile_rules(source):
    """The (address, instructions) records for a rules file, in order. Raises Permanent."""
    for line in source.split(b"\n"):
        if line.startswith(b"#"):
            continue
        line = line.rstrip(control.BLANKS)
        address, colon, rest = line.partition(b":")
        if not colon:
            continue
        if not rest.startswith((b"allow", b"deny")):
            address, rest = split_ipv6(line)
        yield from expand(address, instructions(rest, line), line)


def split_ipv6(line):
    """(address, rest) of a rule for an IPv6 address or prefix. Raises Permanent for anything else."""
    cuts = [cut for cut in (line.find(b":allow"), line.find(b":deny")) if cut > 0]
    address = line[:min(cuts, default=0)].lower()
    if not address or address.strip(b"0123456789abcdef:."):
        raise bad(line)
    rest = line[len(address) + 1:]
    if address.endswith(b":") and not address.endswith(b"::"):
        groups = address[:-1].split(b":")
        if b"." in address or not all(0 < len(group) <= 4 for group in groups) or len(groups) >= IPV6_GROUPS:
            raise bad(line)
        return b"".join(b"%x:" % int(group, 16) for group in groups), rest
    import socket                   # only rules for IPv6 come here
    try:
        packed = socket.inet_pton(socket.AF_INET6, address.decode("ascii"))
    except OSError:
        raise bad(line) from None
    found = socket.inet_ntop(socket.AF_INET6, packed).encode()
    return found.removeprefix(MAPPED) if b"." in found else found, rest


def instructions(rest, line):
    """What goes into the cdb for `allow,A="x"` and so on. Raises Permanent."""
    verdict, rest = (b"D\0", rest[4:]) if rest.startswith(b"deny") else (b"", rest[5:])
    packed = [verdict]
    while rest:
        name, equals, value = rest[1:].partition(b"=")
        content, quote, after = value[1:].partition(value[:1]) if value else (b"", b"", b"")
        if not rest.startswith(b",") or not equals or not quote:
            raise bad(line)
        packed.append(b"+%b=%b\0" % (name, content))
        rest = after
    return b"".join(packed)


def expand(address, packed, line):
    """One record, or one for every number of a range."""
    before, dash, after = address.partition(b"-")
    if not dash or b"=" in address or b"@" in address:
        yield address, packed
        return
    head, dot, low = before.rpartition(b".")
    high, dot_after, tail = after.partition(b".")
    if not (low + b"0").isdigit() or not (high + b"0").isdigit() or max(len(low), len(high)) > DIGITS:
        raise bad(line)
    for number in range(int(low or 0), min(int(high or 0), 255) + 1):
        yield b"%b%b%d%b%b" % (head, dot, number, dot_after, tail), packed


def bad(line):
    return Permanent("unable to parse this line: " + line.decode("latin-1"))


def addresses(ip, host=None, info=None):
    """The keys to look up, first match counts. All are bytes; ip is as TCPREMOTEIP shows it."""
    if info is not None:
        yield info + b"@" + ip
        if host is not None:
            yield info + b"@=" + host
    yield ip
    if host is not None:
        yield b"=" + host
    if b":" in ip:
        import socket               # only connections over IPv6 come here
        packed = socket.inet_pton(socket.AF_INET6, ip.decode("ascii"))
        groups = [b"%x:" % int.from_bytes(packed[n:n + 2]) for n in range(0, len(packed), 2)]
        for count in range(IPV6_GROUPS - 1, 0, -1):
            yield b"".join(groups[:count])
    else:
        cut = ip.rfind(b".")
        while cut > 0:
            yield ip[:cut + 1]
            cut = ip.rfind(b".", 0, cut)
    if host is not None:
        cut = host.find(b".")
        while cut >= 0:
            yield b"=" + host[cut:]
            cut = host.find(b".", cut + 1)
        yield b"="
    yield b""


def unpack(packed):
    """(allowed, {variable: value}) of a record."""
    variables = {}
    for part in packed.split(b"\0"):
        if part.startswith(b"+"):
            name, _, value = part[1:].partition(b"=")
            variables[name] = value
    return not packed.startswith(b"D"), variables


class Rules:
    """A compiled file, opened again whenever it is replaced. strangers: whether those are allowed whom no
    rule is about, which without a file is everybody."""

    def __init__(self, path, strangers=True):
        self._strangers = strangers
        self._path, self._seen, self._found = path, None, None      # _found counts while the file is _seen

    def forget(self):
        self._seen = None

    def find(self, ip, host=None, info=None):
        """(allowed, {variable: value}) for a client. Raises Temporary if the file cannot be read."""
        table = self._table()
        if table is not None:
            for address in addresses(ip, host, info):
                packed = table.get(address)
                if packed is not None:
                    return unpack(packed)
        return self._strangers, {}

    def mention(self, variable):
        """True if the file sets this variable anywhere. Raises Temporary."""
        try:
            return b"+" + variable + b"=" in netio.read_file(self._path)
        except FileNotFoundError:
            return False
        except OSError as why:
            raise self._unreadable(why) from why

    def _table(self):
        try:
            now = mark(os.stat(self._path))
            if now != self._seen:
                self._found, self._seen = cdb.read(self._path), now
        except FileNotFoundError:
            self._seen = self._found = None
        except OSError as why:
            raise self._unreadable(why) from why
        return self._found

    def _unreadable(self, why):
        return Temporary(f"unable to read {self._path}: {text(why)}")
