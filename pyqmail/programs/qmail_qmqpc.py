"""qmail-qmqpc: hand a message to a QMQP server, in place of qmail-queue.

    qmail-qmqpc                     message on descriptor 0, envelope on 1, as for qmail-queue

For hosts without a queue: put it where bin/qmail-queue was, or name it in QMAILQUEUE. control/qmqpservers lists IP
addresses of servers, one a line; what is no address is skipped. They are tried in this order, at port
628, until a connection is made: 10 seconds each. From then on it is that server or none, with 60 seconds for
every read and write: a second server could queue what the first one has queued already.

Exit codes (qmail-queue's): 0 the server has it; 31 it refused; 71 it said try later; 72 the last server tried did
not answer; 73 its port is closed or it cannot be reached; 74 the connection died, and nobody knows whether
the message was queued; 11 an address over a megabyte; 51 no memory, or over 999999999 bytes; 54 message or
envelope cannot be read; 55 no control/qmqpservers, none that can be read, or no address in it; 56 no socket;
91 not an envelope. Nothing is printed.

**Security**: runs as its caller, confined to connections once it knows the servers. The server's answer is one letter
of its bytes.
Source: qmail-qmqpc(8), cr.yp.to/proto/qmqp.html. Started for each message: `socket` is not imported.
"""
import _socket
import os
import time

from ..base import control, ipme, limits, number, sandbox, sig
from ..base.errors import Temporary
from ..qmtp import qmqp
from ..qmtp.wire import LONGEST, TooLong, netstring

CONNECT_TIMEOUT, TIMEOUT = 10, 60   # s
SESSION = 3600                      # s to wait for an answer: qmail-qmqpd gives up then
ADDRESS = 1 << 20                   # bytes of an address; servers take a thousand
BLOCK = 65536
EXITS = {b"K": 0, b"D": 31, b"Z": 71}
TOO_LONG, NO_MEMORY, UNREADABLE, CONTROLS, NO_SOCKET = 11, 51, 54, 55, 56
TIMED_OUT, REFUSED, DIED, BAD_ENVELOPE = 72, 73, 74, 91


class Failed(Exception):
    """code: the exit code."""

    def __init__(self, code):
        super().__init__(code)
        self.code = code


def main(argv):
    sig.ignore_pipe()
    try:
        servers = read_servers()
        confine()
        message = read_message()
        parts = assemble(message, *read_envelope())
        return submit(servers, parts)
    except Failed as why:
        return why.code
    except (TooLong, MemoryError):
        return NO_MEMORY


def read_servers():
    """The addresses to try. Raises Failed."""
    try:
        control.line("me")          # qmail-qmqpc needs none, but refuses one that cannot be read
        lines = control.lines("qmqpservers")
    except Temporary:
        raise Failed(CONTROLS) from None
    if lines is None:
        raise Failed(CONTROLS)
    return [address for address in map(parse, lines) if address]


def confine():
    """Nothing from here on but connections; the message is descriptor 0. Raises Failed."""
    try:
        limits.enter("qmail-qmqpc")
        sandbox.enter(sandbox.Files(), sockets=(_socket.AF_INET, _socket.AF_INET6), tcp=True)
    except OSError:
        raise Failed(NO_MEMORY) from None


def parse(line):
    """The address at the start of a line (IPv4; or all of it: IPv6); None if there is none."""
    numbers, rest = [], line
    while len(numbers) < 4:
        value, rest = number.leading(rest)
        if value is None or value > 255:
            return ipme.parse6(line)
        numbers.append(b"%d" % value)
        if len(numbers) < 4:
            if not rest.startswith(b"."):
                return ipme.parse6(line)
            rest = rest[1:]
    return b".".join(numbers)


def read(fd):
    """The next bytes of a descriptor. Raises Failed."""
    try:
        return os.read(fd, BLOCK)
    except OSError:
        raise Failed(UNREADABLE) from None


def read_message():
    message = bytearray()
    while piece := read(0):
        message += piece
        if len(message) > LONGEST:
            raise TooLong
    return message


def read_envelope():
    """(sender, the netstrings of all recipients). Raises Failed."""
    records = read_records()
    sender = next(records, b"")
    if not sender.startswith(b"F"):
        raise Failed(BAD_ENVELOPE)
    recipients = bytearray()
    for record in records:
        if not record:
            return sender[1:], bytes(recipients)
        if not record.startswith(b"T"):
            raise Failed(BAD_ENVELOPE)
        recipients += netstring(record[1:])
        if len(recipients) > LONGEST:
            raise TooLong
    raise Failed(BAD_ENVELOPE)


def read_records():
    """What stands before each NUL on descriptor 1. Raises Failed."""
    held = b""
    while piece := read(1):
        *whole, held = (held + piece).split(b"\0")
        if len(held) > ADDRESS:
            raise Failed(TOO_LONG)
        yield from whole


def assemble(message, sender, recipients):
    """The packet, as a list of parts to send; a small one is sent at once."""
    before, after = qmqp.packet(message, sender, recipients)
    if len(message) < BLOCK:
        return [before + message + after]
    return [before, message, after]


def submit(servers, parts):
    """The exit code after trying the servers in turn."""
    status = CONTROLS
    for address in servers:
        try:
            sock = _socket.socket(_socket.AF_INET6 if b":" in address else _socket.AF_INET,
                                  _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        except OSError:
            return NO_SOCKET
        sock.settimeout(CONNECT_TIMEOUT)
        try:
            sock.connect((address.decode(), qmqp.PORT))
        except OSError as why:
            status = TIMED_OUT if isinstance(why, TimeoutError) else REFUSED
            sock.close()
            continue
        sock.settimeout(TIMEOUT)
        return deliver(sock, parts)
    return status


def deliver(sock, parts):
    """Send the packet and wait for the verdict. Returns the exit code."""
    end = time.monotonic() + SESSION
    try:
        for part in parts:
            view = memoryview(part)
            while view:
                view = view[sock.send(view):]
        while (data := sock.recv(1024)) and time.monotonic() < end:
            if letter := qmqp.verdict(data):
                return EXITS[letter]
    except OSError:
        pass
    return DIED
