"""qmail-showctl: explain the configuration.

    qmail-showctl

Prints what qmail was built and installed with, then every control file with what it means, then
the files in control/ that nobody knows. Files that only pyqmail has are mentioned if they exist.
Exit codes: 0; 111 if control/ or control/me cannot be read.

**Security**: anybody may run it; it reads control/ with the caller's rights and prints nothing but
printable ASCII of it.
Source: qmail-showctl(8).
"""
import os

from ..base import accounts, control, controls, home, netio
from ..base.errors import Temporary
from ..queue.names import SPLIT

PRINTABLE = bytes(byte if 32 <= byte <= 126 else 63 for byte in range(256))
TROUBLE = b"Oops! Trouble reading this file.\n"
UIDS = ("alias", "qmaild", "qmaill", "root", "qmailp", "qmailq", "qmailr", "qmails")
GIDS = ("nofiles", "qmail")


def main(argv):
    report = installation()
    try:
        names = sorted(os.listdir(os.fsencode(home.path("control"))))
        me = control.line("me")
        report += b"".join(sections(names, me))
        status = 0
    except OSError:
        report, status = report + b"Oops! Unable to chdir to control.\n", 111
    except Temporary:
        report, status = report + b"Oops! Trouble reading control/me.", 111
    netio.write_all(1, report)
    return status


def installation():
    """What is fixed: the home, "-" before extensions, refused mode bits, qmail-spawn's limit, split, ids."""
    uids = ", ".join(str(accounts.uid(role)) for role in UIDS)
    gids = ", ".join(str(accounts.gid(group)) for group in GIDS)
    return os.fsencode(f"qmail home directory: {home.HOME}.\n"
                       "user-ext delimiter: -.\n"
                       "paternalism (in decimal): 2.\n"
                       "silent concurrency limit: 120.\n"
                       f"subdirectory split: {SPLIT}.\n"
                       f"user ids: {uids}.\n"
                       f"group ids: {gids}.\n")


def sections(names, me):
    """The report on every file, in the table's order, then the unknown ones."""
    for entry in controls.CONTROLS:
        if entry.own and os.fsencode(entry.name) not in names:
            continue
        yield b"\n" + os.fsencode(entry.name) + b": "
        try:
            yield EXPLAIN[entry.kind](entry, me)
        except Temporary:
            yield TROUBLE
    for name in names:
        if os.fsdecode(name) not in controls.BY_NAME:
            yield b"\n" + name + b": I have no idea what this file does.\n"


def line(entry, me):
    value = control.line(entry.name)
    start = b""
    if value is None:
        start = b"(Default.) "
        value = os.fsencode(entry.name if entry.default is controls.ME else entry.default)
        if entry.default is controls.ME and me is not None:
            value = me
    return start + os.fsencode(entry.before) + value.translate(PRINTABLE) + b".\n"


def number(entry, _):
    value = control.number(entry.name, None)
    start = "(Default.) " if value is None else ""
    return f"{start}{entry.before}{entry.default if value is None else value}{entry.after}.\n".encode()


def entries(entry, _):
    before, absent = entry.before, entry.absent
    if entry.name == "morercpthosts" and not control.exists("rcpthosts"):
        before = "No rcpthosts; doesn't matter that morercpthosts has "
        absent = "No rcpthosts; morercpthosts is irrelevant."
    values = control.lines(entry.name)
    if values is None:
        return f"(Default.) {absent}\n".encode()
    shown = (os.fsencode(before) + value.translate(PRINTABLE) + os.fsencode(entry.after) + b"\n" for value in values)
    return b"\n" + b"".join(shown)


def database(entry, _):
    """Whether a cdb is as new as its source."""
    source = entry.name.removesuffix(".cdb")
    made, given = modified(entry.name), modified(source)
    if given is None and made is None:
        return b"(Default.) No effect.\n"
    if given is None:
        return f"Oops! {entry.name} exists but {source} doesn't.\n".encode()
    if made is None:
        return f"Oops! {source} exists but {entry.name} doesn't.\n".encode()
    if given > made:
        return f"Oops! {entry.name} is older than {source}.\n".encode()
    return b"Modified recently enough; hopefully up to date.\n"


def modified(name):
    try:
        return int(os.stat(home.path("control", name)).st_mtime)
    except OSError:
        return None


EXPLAIN = {controls.LINE: line, controls.NUMBER: number, controls.LINES: entries, controls.CDB: database}
