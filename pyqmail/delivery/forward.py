"""Forwarding: the message goes back into the queue, once, for all addresses together."""
import os

from ..base import errors
from ..base.errors import Permanent, Temporary
from ..queue.client import Submission
from .message import Unreadable


def forward(start, message, sender, recipients, environ):
    """Queue `start` (the Delivered-To line) and the message; returns the number of the submission.
    environ: {name: value} for qmail-queue. Raises Temporary or Permanent."""
    try:
        queue = Submission(environ)
    except OSError as why:
        raise Temporary(f"Unable to fork: {errors.text(why)}. (#4.3.0)") from why
    with queue:
        try:
            for piece in message.pieces(start):
                queue.put(piece)
        except Unreadable:
            queue.fail()            # the envelope stays unfinished: nothing gets queued
        answer = queue.finish(sender, recipients)
    if answer:
        kind = Permanent if answer.startswith(b"D") else Temporary
        raise kind(f"Unable to forward message: {os.fsdecode(answer[1:])}.")
    return queue.qp
