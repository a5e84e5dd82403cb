"""qmail-tcpok: forget which hosts did not answer.

    qmail-tcpok

Writes 1024 zero bytes over the start of queue/lock/tcpto, so that the next delivery tries every host.
Exit: 0; 111 if the table cannot be written, with a line on descriptor 2. It never makes the file.
**Security**: run by root or qmailr by hand; writes one file, under its lock, and follows no link to it: the
directory is qmailq's.
Source: qmail-tcpok.
"""
import os

from ..base import home
from ..base.errors import Temporary, text
from ..smtp import tcpto


def main(argv):
    task = f"chdir to {home.HOME}"
    try:
        os.chdir(home.HOME)
        task = f"chdir to {home.path('queue/lock')}"
        os.chdir("queue/lock")
        table = tcpto.path()
        task = f"write {table}"
        fd = os.open("tcpto", os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        task = f"clear {table}"
        tcpto.clear(fd)
    except OSError as why:
        raise Temporary(f"unable to {task}: {text(why)}") from why
    return 0
