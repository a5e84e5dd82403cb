"""datemail: sendmail with a Date line in local time.

    datemail [ sendmail's options ] [ arg ... ]

Puts a Date line before the message on descriptor 0, as predate does, and sends it as sendmail does. Exit
codes are those of sendmail.

Without another process, unless there is another sendmail or qmail-inject in bin/ or sendmail is to do something
else than sending: predate's way then.
**Security**: runs as the user who calls it.
Source: datemail(1).
"""
import os
import time

from ..base import child, home
from . import predate, sendmail
from .qmail_inject import behind, inject


def main(argv):
    environ = child.environment()
    if home.ours("sendmail") and home.ours("qmail-inject"):
        variables = dict(environ)
        try:
            mode, words = sendmail.understand(argv, variables)
        except (sendmail.BadOption, sendmail.Usage):
            mode = None
        if mode == b"m":
            os.chdir(home.HOME)
            return inject(words, variables, behind(predate.date_line(int(time.time()))))
    return predate.run("predate", [os.fsencode(home.program("sendmail")), *argv], environ)
