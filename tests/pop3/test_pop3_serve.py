"""A session over descriptors: what is written when."""
import errno

import pytest

from pyqmail.pop3 import serve, session


class Talk(serve.Client):
    """A client who says `lines`, each when the server reads; keeps every write."""

    def __init__(self, *lines, leaves_at=None):
        super().__init__(0, 1)
        self.lines, self.writes, self.leaves_at = list(lines), [], leaves_at

    def read(self, limit):
        if not self.lines:
            raise serve.Gone
        return self.lines.pop(0)

    def write(self, data):
        if len(self.writes) == self.leaves_at:
            raise serve.Gone
        self.writes.append(bytes(data))


class Box:
    """A maildrop in memory; a message that is an exception fails in the middle."""

    def __init__(self, *messages):
        self.messages, self.updated = messages, None
        self.sizes, self.names = [1] * len(messages), [b"name"] * len(messages)

    def open(self, index):
        for block in self.messages[index]:
            if isinstance(block, Exception):
                raise block
            yield block

    def update(self, deleted):
        self.updated = set(deleted)
        return 0


RETRIEVED = b"+OK \r\nS: a\r\n\r\n..b\r\n\r\n.\r\n"
MESSAGE = (b"S: a\n\n", b".b\n")


def test_an_answer_is_one_write():
    client = Talk(b"RETR 1\r\n", b"STAT\r\nRETR 1\r\n", b"QUIT\r\n")
    serve.converse(client, session.Transaction(Box(MESSAGE)))
    assert client.writes == [RETRIEVED, b"+OK 1 1\r\n" + RETRIEVED, b"+OK \r\n"]


def test_what_is_long_is_not_collected():
    client = Talk(b"RETR 1\r\n")
    with pytest.raises(serve.Gone):
        serve.converse(client, session.Transaction(Box([b"x" * 65_536] * 10)))
    assert len(client.writes) >= 10
    assert b"".join(client.writes) == b"+OK \r\n" + b"x" * 655_360 + b"\r\n\r\n.\r\n"


def test_nothing_is_removed_while_answers_are_outstanding():
    box = Box(MESSAGE)
    with pytest.raises(serve.Gone):
        serve.converse(Talk(b"RETR 1\r\nDELE 1\r\nQUIT\r\n", leaves_at=0), session.Transaction(box))
    assert box.updated is None
    client = Talk(b"RETR 1\r\nDELE 1\r\nQUIT\r\n")
    serve.converse(client, session.Transaction(box))
    assert client.writes == [RETRIEVED + b"+OK \r\n", b"+OK \r\n"] and box.updated == {0}


def test_a_text_that_is_cut_ends_the_session(capfd):
    client = Talk(b"RETR 1\r\nSTAT\r\n", b"QUIT\r\n")
    box = Box((b"S: a\n\n", OSError(errno.EIO, "")))
    serve.converse(client, session.Transaction(box))
    assert b"".join(client.writes) == b"+OK \r\nS: a\r\n\r\n" and box.updated is None
    assert "unable to read a message" in capfd.readouterr().err
