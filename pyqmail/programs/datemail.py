"""datemail: sendmail with a Date line in local time.

    datemail [ sendmail's options ] [ arg ... ]

Puts a Date line before the message on descriptor 0, as predate does, and sends it as sendmail does. Exit
codes are those of sendmail.

Sends without another process; only if there is another predate, sendmail or qmail-inject in bin/, or if sendmail
is to do something else than sending, it becomes `predate sendmail`.
**Security**: runs as the user who calls it.
Source: datemail(1).
"""
import os
import time

from ..base import child, home
from ..inject.injection import behind, inject
from . import sendmail
from .predate import date_line


def main(argv):
    environ = child.environment()
    if all(map(home.ours, ("predate", "sendmail", "qmail-inject"))):
        variables = dict(environ)
        try:
            mode, words = sendmail.understand(argv, variables)
        except (sendmail.BadOption, sendmail.Usage):
            mode = None
        if mode == b"m":
            os.chdir(home.HOME)
            return inject(words, variables, behind(date_line(int(time.time()))))
    child.execute([*(os.fsencode(home.program(name)) for name in ("predate", "sendmail")), *argv], environ)
