"""qmail-smtpd on descriptors 0 and 1: one connection that tcpserver, inetd or systemd has accepted.

A plain loop of reads and writes: the program is started for each connection, so it imports next to
nothing. Ends with 0 after QUIT, 1 otherwise.
"""
import os
import select
import stat
import time

from ..base import child, sig
from ..base.errors import Temporary
from ..base.received import Client
from ..queue.client import Submission
from . import session as smtp
from .policy import Policy

READ = 65_536
WRITE = 512                         # bytes; so much fits whenever poll says that something does
GONE = 1                            # exit code when the client is gone or was sent away


class Gone(Exception):
    """The client does not read or write any more."""


def run():
    """Serve the client on descriptors 0 and 1. Returns the exit code."""
    sig.ignore_pipe()
    environ = child.environment()
    try:
        policy = Policy()
    except Temporary:
        return farewell(smtp.CONTROLS)
    network = from_network()
    session = smtp.Session(policy, Client(environ), eager=not network, check=network or b"TCPREMOTEPORT" in environ)
    try:
        return serve(session, policy.timeout)
    except Gone:
        return GONE
    except MemoryError:
        return farewell(smtp.NO_MEMORY)


def from_network():
    """True if descriptor 0 is a connection. On a pipe or file all input may come at once (sendmail -bs)."""
    try:
        return stat.S_ISSOCK(os.fstat(0).st_mode)
    except OSError:
        return False


def serve(session, timeout):
    """The loop: events of the session in; reads, writes and submissions out. Raises Gone.

    A submission that is under way when the session ends is left unfinished: its pipes close with this
    process, which waits for nobody, so that a queue program that hangs cannot hold it.
    """
    queue = None
    while True:
        event = session.next_event()
        if event is smtp.NEED_DATA:
            flush(session, timeout)
            piece = read(timeout)
            if piece is None:
                session.close(smtp.TIMEOUT)
            else:
                session.feed(piece)
        elif event is smtp.FLUSH:
            flush(session, timeout)
        elif event is smtp.CHECK:
            from ..rcptcheck import client      # only where recipients are checked
            session.checked(client.answers(*session.questions()))
        elif event is smtp.OPEN:
            try:
                queue = Submission()
            except OSError:
                session.queue_failed()
            else:
                queue.put(session.queue_opened(int(time.time())))
        elif event is smtp.END:
            if session.refusal:
                queue.fail()
            answer = queue.finish(session.sender, session.recipients)
            session.answered(answer, queue.qp, int(time.time()))
        elif event is smtp.CLOSE:
            flush(session, timeout)
            return session.status
        else:
            queue.put(event)


def read(timeout):
    """Bytes from the client, None after `timeout` seconds without any. Raises Gone at their end."""
    poll = select.poll()
    poll.register(0, select.POLLIN)
    if not poll.poll(timeout * 1000):
        return None
    try:
        piece = os.read(0, READ)
    except OSError:
        raise Gone from None
    if not piece:
        raise Gone
    return piece


def flush(session, timeout):
    """Send the replies. Raises Gone."""
    poll = select.poll()
    poll.register(1, select.POLLOUT)
    replies = session.replies
    while replies:
        if not poll.poll(timeout * 1000):
            raise Gone
        try:
            del replies[:os.write(1, replies[:WRITE])]
        except OSError:
            raise Gone from None


def farewell(reply):
    """Say one last thing, if anybody listens. Returns the exit code."""
    try:
        os.write(1, reply)
    except OSError:
        pass
    return GONE
