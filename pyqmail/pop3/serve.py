"""The blocking ends of a POP3 session: one client on two descriptors, with qmail's time limit."""
import errno
import os
import time

from ..base import errors, maildir, netio, sig
from . import maildrop, session, wire

TIMEOUT = 1200                      # s for each read and write (RFC 1939 3: at least 10 minutes)
READ = 4096                         # bytes of commands read at once
PENDING = 65536                     # bytes of answers that are collected, at most, before they are written


class Gone(Exception):
    """The client closed the connection, does not read, or was silent for TIMEOUT."""


class Client:
    """Timed reads and writes. Raises Gone when there is nobody to talk to any more."""

    def __init__(self, reading, writing, timeout=TIMEOUT):
        self._reading, self._writing, self._timeout = reading, writing, timeout
        self._pending, self._length = [], 0
        sig.catch(sig.ALRM, _gone)
        sig.ignore_pipe()

    def check(self):
        """Raises Gone if one of the descriptors is not open."""
        try:
            os.fstat(self._reading)
            os.fstat(self._writing)
        except OSError:
            raise Gone from None

    def read(self, limit):
        sig.alarm(self._timeout)
        try:
            data = os.read(self._reading, limit)
        except OSError:
            raise Gone from None
        finally:
            sig.alarm(0)
        if not data:
            raise Gone
        return data

    def write(self, data):
        sig.alarm(self._timeout)
        try:
            netio.write_all(self._writing, data)
        except OSError:
            raise Gone from None
        finally:
            sig.alarm(0)

    def put(self, data):
        """As write(), but what is little waits for flush(): an answer in three writes costs a client who sends
        one command after the other 40 ms each (Nagle's algorithm against delayed acknowledgements)."""
        self._pending.append(data)
        self._length += len(data)
        if self._length >= PENDING:
            self.flush()

    def flush(self):
        """Write what put() has collected."""
        if self._pending:
            data, self._pending, self._length = b"".join(self._pending), [], 0
            self.write(data)


def _gone():
    raise Gone


def authorize(client, stamp):
    """Talk to the client until it logs in: (name, password or digest), or None after QUIT.

    Reads nothing beyond the line that ends this state: what follows it belongs to the program
    that the checker starts. Raises Gone.
    """
    state, reader = session.Authorization(stamp), wire.CommandReader()
    client.write(state.greeting())
    while not (state.login or state.over):
        reader.feed(client.read(1))
        for command in reader:
            answer = state.reply(command)
            if answer:
                client.write(answer)
    return state.login


def transact(client, directory):
    """The session of an authenticated user on the Maildir `directory` (bytes; None: not named).

    Returns when it is over, in whatever way; only QUIT deletes and moves messages.
    """
    try:
        try:
            os.chdir(directory)
        except (OSError, TypeError, ValueError):
            client.write(session.error(b"this user has no $HOME/Maildir"))
            return
        now = int(time.time())
        maildir.clean(now)
        try:
            messages = maildrop.Maildrop(now)
        except OSError:
            client.write(session.error(b"unable to scan $HOME/Maildir"))
            return
        client.write(session.OK)
        converse(client, session.Transaction(messages))
    except Gone:
        return


def converse(client, state):
    """Commands and answers until the session is over. Answers to commands that came together go out together."""
    reader = wire.CommandReader()
    while not state.over:
        reader.feed(client.read(READ))
        for command in reader:
            if state.ends(command):
                client.flush()          # nothing is removed while the client may have missed what came before
            try:
                for piece in state.reply(command):
                    client.put(piece)
            except OSError as why:
                client.flush()
                if why.errno != errno.EISDIR:       # a directory in a Maildir is its owner's business
                    errors.say("warning: qmail-pop3d: unable to read a message: ", errors.text(why))
                return                  # its text is cut: nothing that could be said now would be understood
            if state.over:
                break
        client.flush()
