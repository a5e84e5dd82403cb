"""qmail-newmrh: make control/morercpthosts.cdb from control/morercpthosts.

    qmail-newmrh

Writes control/morercpthosts.tmp, syncs it and moves it to control/morercpthosts.cdb, which is always either
the old or the new one, whole. One domain a line, letter case ignored; blanks at the end, empty lines and lines
that start with "#" do not count. Exit codes: 0 done; 111 not done, one line on descriptor 2.

**Security**: run by root; reads only what root wrote. Source: qmail-newmrh(8).
"""
import os

from ..base import cdb, control, home, netio
from ..base.errors import Temporary, text

LARGEST = 1 << 30                   # bytes of control/morercpthosts
SOURCE, TARGET, NEW = "control/morercpthosts", "control/morercpthosts.cdb", "control/morercpthosts.tmp"


def main(argv):
    os.umask(0o033)
    attempt(f"chdir to {home.HOME}: ", os.chdir, home.HOME)
    source = attempt(f"read {SOURCE}: ", os.open, SOURCE, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    target = attempt(f"write to {NEW}: ", os.open, NEW,
                     os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NONBLOCK, 0o644)
    content = attempt(f"read {SOURCE}: ", netio.read_all, source, LARGEST + 1)
    if len(content) > LARGEST:
        raise Temporary(f"{SOURCE} is too large")
    lines = control.texts(content.lower())
    attempt(f"write to {NEW}: ", cdb.write, target, ((line, b"") for line in lines))
    attempt(f"write to {NEW}: ", os.close, target)
    attempt(f"move {NEW} to {TARGET}", os.rename, NEW, TARGET)
    attempt(f"move {NEW} to {TARGET}: ", netio.sync_directory, "control")


def attempt(what, action, *arguments):
    """action(*arguments); its OSError is told as "unable to WHAT"."""
    try:
        return action(*arguments)
    except OSError as why:
        raise Temporary(f"unable to {what}{text(why)}") from why
