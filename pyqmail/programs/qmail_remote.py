"""qmail-remote: send one message to one host by SMTP.

    qmail-remote HOST SENDER RECIPIENT...

Reads the message from descriptor 0 and writes its report to descriptor 1: for each recipient, as far
as it got, `r` (accepted), `h` (refused for good) or `s` (refused for now), text and NUL; then for the
message `K` (delivered), `Z` (try later) or `D` (will never work), text and NUL.

Control files: me, helohost, smtproutes, timeoutconnect, timeoutremote, moreipme. Hosts that do not
answer are noted in queue/lock/tcpto. Exit: always 0; the report says the rest.
**Security**: runs as qmailr; holds nothing but the message, and is confined before it asks anybody: control files,
/etc and tcpto, and connections. Everything the name servers and the mail server say is hostile: bounded, never
interpreted beyond what the protocol needs.
Source: qmail-remote; RFC 5321. Started once a message, so neither `socket` nor asyncio is imported,
and DNS only if a name must be looked up.
"""
import _socket
import errno
import os

from ..base import dns, home, netio, sig
from ..base.clock import Clock
from ..base.errors import Permanent, Temporary
from ..smtp import client, remote, reports, route, tcpto
from ..smtp.confined import confined


def main(argv):
    sig.ignore_pipe()
    sig.alarm(remote.DELIVERY_MAX)
    try:
        output = deliver(*argv[:2], argv[2:]) if len(argv) >= 3 else reports.USAGE + b"\0"
    except Exception as why:
        output = remote.trouble(why) + b"\0"
    try:
        netio.write_all(1, output)
    except OSError:
        pass                        # nobody wants to know
    return 0


def deliver(host, sender, recipients):
    """The report on the message that descriptor 0 holds."""
    try:
        os.chdir(home.HOME)
    except OSError:
        return reports.NO_HOME + b"\0"
    try:
        settings = remote.settings(host)
        confined("qmail-remote")
        sock, address = reach(route.walk(host, settings.relay, settings.ours), settings.connect_timeout)
    except route.Unreachable as why:
        return why.report + b"\0"
    session = client.Session(client.Peer(address, settings.helo), sender, recipients)
    sock.settimeout(settings.timeout)
    try:
        converse(sock, session, remote.PATIENCE * settings.timeout)
    except OSError:
        session.lost()
    sock.close()
    return session.report


def reach(steps, timeout):
    """(socket, address) of the first host that takes a connection. Raises Unreachable."""
    resolver, table, step = dns.Resolver(), tcpto.Table(), next(steps)
    end = Clock.monotonic() + remote.DNS_MAX
    while True:
        if isinstance(step, route.Lookup):
            step = steps.send([look_up(resolver, question, end) for question in step.questions])
        else:
            sock = connect(step, timeout, table)
            if sock:
                return sock, step.address
            step = steps.send(None)


def look_up(resolver, question, end):
    if Clock.monotonic() > end:
        return Temporary("too many slow name servers")
    try:
        return resolver.lookup(*question)
    except (Permanent, Temporary) as why:
        return why


def connect(step, timeout, table):
    """A connected socket; None if the host is not reachable, or was not lately."""
    skip, known = table.skip(step.address, Clock.now(), os.getpid() & 31)
    if skip:
        return None
    try:
        sock = _socket.socket(remote.family(step.address), _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    except OSError as why:
        if why.errno == errno.EAFNOSUPPORT:             # a machine without IPv6
            return None
        raise
    try:
        sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        sock.settimeout(timeout)
        sock.connect((step.address.decode(), step.port))
    except OSError as why:
        sock.close()
        if isinstance(why, TimeoutError):
            table.timed_out(step.address, Clock.now())
            return None
        sock = None
    if known:
        table.answered(step.address)
    return sock


def converse(sock, session, patience):
    """The whole dialogue. Raises OSError when the connection breaks."""
    waiting_since = Clock.monotonic()
    while session.wants is not client.NOTHING:
        if session.wants is client.MESSAGE:
            send_message(sock, session)
            waiting_since = Clock.monotonic()
            continue
        answer = session.receive(sock.recv(4096))
        if answer:
            send(sock, answer)
            waiting_since = Clock.monotonic()
        elif Clock.monotonic() - waiting_since > patience:
            session.lost()


def send_message(sock, session):
    """The last block goes out together with the final dot: a small message is one packet."""
    ready = b""
    while True:
        try:
            block = os.read(0, remote.BLOCK)
        except OSError:
            session.unreadable()
            return
        if not block:
            break
        send(sock, ready)
        ready = session.body(block)
    send(sock, ready + session.body_end())
    send(sock, session.proceed())


def send(sock, data):
    """All of data; the timeout counts anew for each piece that the other side takes."""
    view = memoryview(data)
    while view:
        view = view[sock.send(view):]
