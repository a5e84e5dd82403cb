"""A QMTP or QMQP session on descriptors 0 and 1: one connection that tcpserver, inetd or systemd accepted."""
import os
import time

from ..base import netio, sig
from ..base.errors import Temporary
from ..queue.client import Submission
from . import session as events
from .wire import NEED_DATA

READ = 65_536
SESSION = 3600                      # s that a whole session may take


class Gone(Exception):
    """The client does not read or write any more."""


def run(make):
    """Serve the client. make() gives the Session; it may raise Temporary. Returns the exit code."""
    sig.ignore_pipe()
    sig.catch(sig.ALRM, lambda: os._exit(events.RESOURCES))
    sig.alarm(SESSION)
    try:
        session = make()
    except Temporary:
        return events.RESOURCES
    try:
        return serve(session)
    except Gone:
        return 0


def serve(session):
    """Events of the session in; reads, writes and submissions out. Raises Gone.

    A submission that is under way when the session ends is left unfinished: its pipes close with this
    process, and nothing is queued.
    """
    queue = None
    while True:
        event = session.next_event()
        if event is NEED_DATA:
            flush(session)
            session.feed(read())
        elif event is events.FLUSH:
            flush(session)
        elif event is events.CHECK:
            from ..rcptcheck import client      # only where recipients are checked
            session.answers = client.answers(*session.questions)
        elif event is events.OPEN:
            try:
                queue = Submission()
            except OSError:
                session.queue_failed()
            else:
                queue.put(session.queue_opened(int(time.time())))
        elif event is events.END:
            if session.refused:
                queue.fail()
            answer = queue.finish(session.sender, session.recipients)
            session.answered(answer, queue.qp, int(time.time()))
        elif event is events.CLOSE:
            flush(session)
            return session.status
        else:
            queue.put(event)


def read():
    try:
        data = os.read(0, READ)
    except OSError:
        raise Gone from None
    if not data:
        raise Gone
    return data


def flush(session):
    try:
        netio.write_all(1, session.replies)
    except OSError:
        raise Gone from None
    session.replies.clear()
