"""maildir2mbox: move the mail of a Maildir into an mbox.

    maildir2mbox

Appends every message in new/ and cur/ of $MAILDIR to the mbox $MAIL, oldest first, and removes it from the
Maildir. The new mbox is written as $MAILTMP, synced and moved to $MAIL, so that $MAIL is whole at
every moment; both must be in one file system. Messages that arrive meanwhile are left for the next time,
as are files whose names start with a dot. Without mail nothing is touched.

$MAIL is locked (flock) as long as that takes, for 30 seconds at most, and looked at again when the lock
is there: whoever held it may have put another file in its place. A last line without newline gets
one. (The original drops such a line and removes the message.)

Exit codes: 0 done; 111 one line on descriptor 2, and no message removed. If a message cannot be removed
in the end, a warning says that it will be there twice.

**Security**: runs as the owner of the mailbox; the messages come from strangers and are not looked
at beyond their first line. Source: maildir2mbox(1).
"""
import os
import time

from ..base import child, date, deadline, errors, lock, maildir, mbox, netio
from ..base.errors import Temporary, text

PIECE = 65536                       # bytes of a message read and written at a time
FIRST_LINE = 65536                  # bytes; a longer one holds no sender
PATIENCE = 30                       # s to wait for the lock
RETURN_PATH = b"Return-Path: <"
BLANKS = bytes.maketrans(b" \t", b"--")


def main(argv):
    os.umask(0o077)
    environ = child.environment()
    for name in (b"MAIL", b"MAILTMP", b"MAILDIR"):
        if name not in environ:
            raise Temporary(f"{name.decode()} not set")
    target, temporary = environ[b"MAIL"], environ[b"MAILTMP"]
    attempt("chdir to", environ[b"MAILDIR"], os.chdir, environ[b"MAILDIR"])
    now = int(time.time())
    maildir.clean(now)
    try:
        messages = maildir.scan((b"new", b"cur"), now)
    except OSError as why:
        raise Temporary(f"unable to scan $MAILDIR/{os.fsdecode(why.filename)}: {text(why)}") from why
    if messages:
        rewrite(target, temporary, messages)
        remove(path for _, path in messages)


def attempt(what, name, action, *arguments):
    """action(*arguments); its OSError is told as "unable to WHAT NAME"."""
    try:
        return action(*arguments)
    except OSError as why:
        raise Temporary(f"unable to {what} {os.fsdecode(name)}: {text(why)}") from why


def rewrite(target, temporary, messages):
    """Put a new mbox, the old one and the messages, in place of `target`. Raises Temporary."""
    source = locked(target)
    fd = attempt("create", temporary, os.open, temporary,
                 os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)

    def write(data):
        attempt("write to", temporary, netio.write_all, fd, data)
    for piece in pieces(source, target):
        write(piece)
    for mtime, path in messages:
        for piece in entry(mtime, path):
            write(piece)
    attempt("write to", temporary, os.fsync, fd)
    attempt("write to", temporary, os.close, fd)
    attempt(f"move {os.fsdecode(temporary)} to", target, os.rename, temporary, target)
    # The new name must be on the disk before the messages are removed.
    attempt("write to", target, netio.sync_directory, os.path.dirname(target) or b".")


def locked(path):
    """A descriptor, for reading, of the mbox that `path` names now, locked until this process ends; the
    mbox is made if there is none. Raises Temporary."""
    while True:
        fd = attempt("lock", path, os.open, path,
                     os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
        try:
            if not lock.exclusive(fd, PATIENCE):
                raise Temporary(f"unable to lock {os.fsdecode(path)}: no locks available")
        except deadline.Expired:
            raise Temporary(f"unable to lock {os.fsdecode(path)}: somebody else holds the lock") from None
        if same(fd, path):
            return fd
        os.close(fd)


def same(fd, path):
    """True if `path` still names the open file."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def pieces(fd, name):
    """The rest of an open file in pieces; `name` for complaints. Raises Temporary."""
    while piece := attempt("read", name, os.read, fd, PIECE):
        yield piece


def entry(mtime, path):
    """What the message at `path` is in an mbox, in pieces. Raises Temporary."""
    name = b"$MAILDIR/" + path
    fd = attempt("read", name, os.open, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        rest, start = pieces(fd, name), b""
        while b"\n" not in start and len(start) < FIRST_LINE and (piece := next(rest, b"")):
            start += piece
        yield b"From %b %b\n" % (sender(start), date.from_line(mtime))
        yield from mbox.quoted(all_of(start, rest))
    finally:
        os.close(fd)


def all_of(start, rest):
    yield start
    yield from rest


def sender(start):
    """The sender for the "From " line of a message that begins with `start`."""
    line, newline, _ = start.partition(b"\n")
    if not newline or not line.startswith(RETURN_PATH):
        return b"XXX"
    return line[len(RETURN_PATH):-1].translate(BLANKS) if line[len(RETURN_PATH):][:1] != b">" else b"MAILER-DAEMON"


def remove(paths):
    for path in paths:
        try:
            os.unlink(path)
        except OSError as why:
            errors.say("maildir2mbox: warning: $MAILDIR/", path, " will be delivered twice; unable to unlink: ",
                       text(why))
