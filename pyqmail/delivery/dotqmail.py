"""Which .qmail file controls an address, whether it may be used, and what its lines say.

Everything here is relative to the working directory, the user's home. Files of a user are not to
be trusted further than the user: they are read as that user, without waiting for a FIFO, up to
a limit. Source: dot-qmail(5), local-delivery as recorded.
"""
import os
import stat

from ..base import errors
from ..base.errors import Temporary

WORLD_WRITABLE, STICKY = 0o002, 0o1000
FORWARD_ONLY = 0o100                # the owner's x bit: no file or program deliveries from this file
SIZE = 1 << 22                      # bytes; a .qmail file beyond it defers the mail
DEFAULT = b"default"
NO_OWNER = (b"", b"#@[]")           # senders of bounces, never replaced


class Instructions:
    """What was found: `text` ends with a newline; `default` is the part of the extension that
    "default" stood for, or None."""

    __slots__ = ("text", "forward_only", "default")

    def __init__(self, text, forward_only=False, default=None):
        self.text, self.forward_only, self.default = text, forward_only, default


def check_home(warn=None):
    """Refuse a home that others may write to, or whose user asks for a pause by its sticky bit.
    warn(text) gets the latter instead, if given. Raises Temporary."""
    try:
        mode = os.stat(".").st_mode
    except OSError as why:
        raise Temporary(f"Unable to stat home directory: {errors.text(why)}. (#4.3.0)") from why
    if mode & WORLD_WRITABLE:
        raise Temporary("Uh-oh: home directory is writable. (#4.7.0)")
    if mode & STICKY:
        if not warn:
            raise Temporary("Home directory is sticky: user is editing his .qmail file. (#4.2.1)")
        warn("Warning: home directory is sticky.")


def safe(ext):
    """An extension as it stands in a file name: lower case, and no dot that could climb out."""
    return ext.lower().replace(b".", b":")


def names(dash, ext):
    """The files to look for, in order: (name, what DEFAULT is if it is found, or None)."""
    base, safe_ext = b".qmail" + dash, safe(ext)
    yield base + safe_ext, ext[-len(DEFAULT):] if safe_ext.endswith(DEFAULT) else None
    for at in range(len(safe_ext), -1, -1):
        if at == 0 or safe_ext[at - 1:at] == b"-":
            yield base + safe_ext[:at] + DEFAULT, ext[at:]


def find(dash, ext, default_delivery):
    """The Instructions for an extension; None if there is no file and dash does not allow that.
    Raises Temporary."""
    for name, default in names(dash, ext):
        found = read(name)
        if found is not None:
            text, forward_only = found
            if not text:            # an empty file stands for the default delivery, x bit or not
                text, forward_only = default_delivery, False
            return Instructions(end_line(text), forward_only, default)
    return None if dash else Instructions(end_line(default_delivery))


def end_line(text):
    return text if text.endswith(b"\n") else text + b"\n"


def read(name):
    """(contents, forward-only) of a .qmail file; None if there is none of this name to be used.

    Directories, FIFOs and devices are passed over like files that do not exist. A file that is
    there but cannot be read raises Temporary: another one must not take its place.
    """
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError as why:
        raise unable_to_open(name, why) from why
    except OSError as why:
        if errors.passing(why):
            raise unable_to_open(name, why) from why
        return None
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            return None
        if status.st_mode & WORLD_WRITABLE:
            raise Temporary("Uh-oh: .qmail file is writable. (#4.7.0)")
        if status.st_size > SIZE:
            raise Temporary(f"Uh-oh: .qmail file has more than {SIZE} bytes. (#4.3.0)")
        return contents(fd), bool(status.st_mode & FORWARD_ONLY)
    except OSError as why:
        raise unable_to_open(name, why) from why
    finally:
        os.close(fd)


def contents(fd):
    """All of a file that had no more than SIZE bytes a moment ago."""
    kept = b""
    while len(kept) <= SIZE:
        piece = os.read(fd, SIZE)
        if not piece:
            break
        kept += piece
    return kept


def unable_to_open(name, why):
    return Temporary(f"Unable to open {os.fsdecode(name)}: {errors.text(why)}. (#4.3.0)")


def new_sender(order):
    """The envelope sender of what is forwarded. Raises Temporary.

    With a .qmail…-owner file, of any type, it is the list's owner; if .qmail…-owner-default exists as
    well, in the form that qmail-send expands for each recipient (VERP).
    """
    if order.sender in NO_OWNER:
        return order.sender
    owner = b".qmail" + order.dash + safe(order.ext) + b"-owner"
    if not exists(owner):
        return order.sender
    if exists(owner + b"-default"):
        return b"%b-owner-@%b-@[]" % (order.local, order.domain)
    return b"%b-owner@%b" % (order.local, order.domain)


def exists(name):
    try:
        os.stat(name)
        return True
    except OSError as why:
        if errors.passing(why):
            raise unable_to_open(name, why) from why
        return False


def lines(text, forward_only=False):
    """The instructions in order, as (kind, argument): b"mbox", b"maildir", b"program", b"forward".

    Arguments are whole, NUL bytes included; use them through up_to_nul(). A line that the file must
    not contain raises Temporary when it is its turn: what stands above it has been done by then.
    """
    at = 0
    while at < len(text):
        end = text.index(b"\n", at)
        line = text[at:end].rstrip(b" \t")
        kind = line[:1]
        if kind in (b"", b"\0"):
            if at == 0:
                raise Temporary("Uh-oh: first line of .qmail file is blank. (#4.2.1)")
        elif kind in (b".", b"/"):
            if forward_only:
                raise Temporary("Uh-oh: .qmail has file delivery but has x bit set. (#4.7.0)")
            yield b"maildir" if line.endswith(b"/") else b"mbox", line
        elif kind == b"|":
            if forward_only:
                raise Temporary("Uh-oh: .qmail has prog delivery but has x bit set. (#4.7.0)")
            yield b"program", line[1:]
        elif kind == b"+":
            forward_only = forward_only or up_to_nul(line) == b"+list"
        elif kind != b"#":
            yield b"forward", line.removeprefix(b"&")
        at = end + 1


def up_to_nul(argument):
    """What the system sees of a name, a command or an address."""
    return argument.partition(b"\0")[0]
