"""Marking a recipient as done: the letter of its record becomes `D`, in place.

Not synced, as in qmail: after a power cut a mark may be missing, and that recipient is delivered to
again (a Maildir notices it, see spawn/identity.py); none is ever lost. Crashes of programs lose no marks.
"""
import os

from . import names


def done(channel, number, offset):
    """Overwrite the letter at `offset` of local/S/N or remote/S/N. Raises OSError."""
    fd = os.open(names.split(channel, number), os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.pwrite(fd, b"D", offset)
    finally:
        os.close(fd)
