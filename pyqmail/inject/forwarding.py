"""Handing on the message on descriptor 0 as it is, one line in front of it.
Source: forward(1), condredirect(1) of notqmail.
"""
import os

from ..base.errors import Permanent, Temporary, text
from ..queue.client import Submission

PIECE = 65536


def needed(environ, name):
    """The value of a variable that qmail-local sets. Raises Permanent without it."""
    if name not in environ:
        raise Permanent(f"{name.decode()} not set")
    return environ[name]


def hand_on(line, sender, recipients, environ):
    """Queue `line` and then the message on descriptor 0, from where it stands. Returns the number that the
    queue's log shows for it. Raises Permanent or Temporary."""
    try:
        queue = Submission(environ)
    except OSError as why:
        raise Temporary(f"unable to fork: {text(why)}") from None
    with queue:
        queue.put(line)
        try:
            while piece := os.read(0, PIECE):
                queue.put(piece)
        except OSError as why:
            raise Temporary(f"unable to read message: {text(why)}") from None
        answer = queue.finish(sender, recipients)
        if answer:
            raise (Permanent if answer[:1] == b"D" else Temporary)(os.fsdecode(answer[1:]))
        return queue.qp
