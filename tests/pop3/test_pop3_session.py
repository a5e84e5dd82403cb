"""POP3 conversations, state by state."""
import pytest

from pyqmail.pop3 import session, wire


class Box:
    """A maildrop in memory."""

    def __init__(self, *messages, failures=0):
        self.messages, self.failures, self.updated = messages, failures, None
        self.sizes = [len(message) for message in messages]
        self.names = [b"name%d" % number for number in range(len(messages))]

    def open(self, index):
        if self.messages[index] == b"unreadable":
            raise PermissionError
        return iter([self.messages[index]])

    def update(self, deleted):
        self.updated = set(deleted)
        return self.failures


def converse(state, *lines):
    return [b"".join(state.reply(wire.command(line))) for line in lines]


BOX = (b"Subject: a\n\none\n", b"S: b\n\n.dot\n", b"unreadable")
TRANSACTION = [
    ((b"STAT",), [b"+OK 3 37\r\n"]),
    ((b"LIST",), [b"+OK \r\n1 16\r\n2 11\r\n3 10\r\n.\r\n"]),
    ((b"LIST 2", b"LIST 4", b"LIST 0", b"LIST x"),
     [b"+OK 2 11\r\n", b"-ERR not that many messages\r\n", b"-ERR messages are counted from 1\r\n", b"-ERR syntax error\r\n"]),
    ((b"UIDL", b"UIDL 3"), [b"+OK \r\n1 name0\r\n2 name1\r\n3 name2\r\n.\r\n", b"+OK 3 name2\r\n"]),
    ((b"DELE 2", b"DELE 2", b"STAT", b"LIST", b"LAST", b"RSET", b"LAST", b"STAT"),
     [b"+OK \r\n", b"-ERR already deleted\r\n", b"+OK 3 26\r\n", b"+OK \r\n1 16\r\n3 10\r\n.\r\n", b"+OK 2\r\n", b"+OK \r\n",
      b"+OK 0\r\n", b"+OK 3 37\r\n"]),
    ((b"RETR 2",), [b"+OK \r\nS: b\r\n\r\n..dot\r\n\r\n.\r\n"]),
    ((b"RETR 3", b"RETR", b"TOP 1 0", b"TOP 1 x"),
     [b"-ERR unable to open that message\r\n", b"-ERR syntax error\r\n", b"+OK \r\nSubject: a\r\n\r\n\r\n.\r\n",
      b"+OK \r\nSubject: a\r\n\r\none\r\n\r\n.\r\n"]),
    ((b"NOOP", b"CAPA", b"USER joe", b""), [b"+OK \r\n"] + [b"-ERR unimplemented\r\n"] * 3),
]


@pytest.mark.parametrize("lines, answers", TRANSACTION)
def test_transaction(lines, answers):
    assert converse(session.Transaction(Box(*BOX)), *lines) == answers


def test_quit_updates_once():
    box = Box(*BOX, failures=2)
    state = session.Transaction(box)
    answers = converse(state, b"DELE 1", b"DELE 3", b"QUIT")
    assert answers[-1] == b"-ERR unable to unlink all deleted messages\r\n" * 2 + b"+OK \r\n"
    assert state.over and box.updated == {0, 2}


def test_too_long_line_is_no_command():
    state = session.Transaction(Box())
    assert state.reply(wire.TOO_LONG) == (session.LINE_TOO_LONG,)
    assert not state.over


def authorize(*lines):
    state = session.Authorization(b"<1.2@h>")
    return [state.reply(wire.command(line)) for line in lines], state


@pytest.mark.parametrize("lines, answers, login", [
    ((b"USER joe", b"PASS x"), [session.OK, b""], (b"joe", b"x")),
    ((b"USER a", b"USER b", b"PASS x y "), [session.OK, session.OK, b""], (b"b", b"x y ")),
    ((b"PASS x",), [b"-ERR USER first\r\n"], None),
    ((b"USER", b"PASS x"), [session.SYNTAX, b"-ERR USER first\r\n"], None),
    ((b"USER joe", b"PASS", b"PASS ok"), [session.OK, session.SYNTAX, b""], (b"joe", b"ok")),
    ((b"APOP joe c4c9",), [b""], (b"joe", b"c4c9")),
    ((b"APOP joe  d1 d2",), [b""], (b"joe", b" d1 d2")),
    ((b"APOP joe", b"APOP"), [session.SYNTAX, session.SYNTAX], None),
    ((b"STAT", b"CAPA", b"", b"NOOP"), [b"-ERR authorization first\r\n"] * 3 + [session.OK], None),
])
def test_authorization(lines, answers, login):
    got, state = authorize(*lines)
    assert got == answers and state.login == login and not state.over


def test_authorization_quit():
    answers, state = authorize(b"quit")
    assert answers == [session.OK] and state.over and state.login is None
