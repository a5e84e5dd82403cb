"""mailsubj: send a mail message with a subject line.

    mailsubj subject recip ...

Sends what is on descriptor 0 to the recipients named, below a Subject and a To line. They are shown and
understood as they are, a name in front of an address included. Exit codes and variables are those of
qmail-inject; 100 without a subject.
**Security**: runs as the user who calls it.
Source: mailsubj(1).
"""
import os

from ..base import child, errors, home
from ..base.feed import Feed
from ..inject.injection import behind, inject


def main(argv):
    if not argv:
        errors.say("mailsubj: usage: mailsubj subject recip ...")
        return errors.PERMANENT
    environ = child.environment()
    head = b"Subject: %b\nTo: %b\n\n" % (argv[0], b" ".join(argv[1:]))
    if home.ours("qmail-inject"):
        return inject([], environ, behind(head))
    feed = Feed("mailsubj", [os.fsencode(home.program("qmail-inject"))], environ, lambda why: errors.TEMPORARY)
    try:
        feed.copy(head)
    except BrokenPipeError:
        pass                        # it complains itself
    return feed.end()
