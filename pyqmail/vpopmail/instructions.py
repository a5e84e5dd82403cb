"""A virtual user's own .qmail file: commands, Maildirs, addresses.

It is not qmail-local's: there are no mbox files, an empty line is an address, and every address is injected by
itself. A file without any content is as none; one with nothing but comments swallows the message.
Source: vpopmail's vdelivermail, as recorded.
"""
import itertools
import os

from ..base import child, errors, home, netio
from ..base.errors import TEMPORARY, Temporary
from ..delivery import command
from ..delivery.dotqmail import safe
from .mailbox import Answer, Mailbox, recipient

SIZE = 1 << 22                      # bytes; a longer file defers the mail
SKIP_REST = command.SKIP_REST
NUMBERS = 1_000_000                 # of message ids of one process: together with its id like no other process's id
_numbers = itertools.count()


def names(extension):
    """The files to look for in a user's directory, in order."""
    if extension:
        ext = safe(extension)
        yield b".qmail-" + ext
        for at in range(len(ext), -1, -1):
            if at == 0 or ext[at - 1:at] == b"-":
                yield b".qmail-" + ext[:at] + b"default"
    yield b".qmail"


def read(directory, extension=b""):
    """The lines of the user's file; None if there is none with anything in it. Raises Temporary."""
    for name in names(extension):
        path = directory + b"/" + name
        try:
            text = netio.read_file(path, SIZE + 1)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            continue
        except OSError as why:
            raise Temporary(f"Unable to read {os.fsdecode(path)}: {errors.text(why)}. (#4.3.0)") from why
        if len(text) > SIZE:
            raise Temporary(f"{os.fsdecode(path)} is too long. (#4.3.0)")
        if text:
            return text.removesuffix(b"\n").split(b"\n")
    return None


def follow(lines, directory, delivery, mailbox):
    """Do what the lines say, one after the other; the exit code. delivery: a delivery.Delivery. mailbox: the user's
    own. Raises Answer, Temporary or Permanent at the first line that fails."""
    for line in lines:
        line = line.rstrip(b"\r")
        if line.startswith(b"#"):
            continue
        if line.startswith(b"|"):
            if run(line[1:], directory, delivery):
                return SKIP_REST
        elif line.startswith((b"/", b".")):
            into_maildir(line.rstrip(b" \t"), directory, delivery, mailbox)
        else:
            delivery.forward(line.removeprefix(b"&").strip(b" \t"))
    return 0


def run(line, directory, delivery):
    """Run a command in the user's directory; True if the lines after it do not count. What it wants is in its exit
    code: nothing is said for it. Raises Temporary or Permanent."""
    environ = {**delivery.environ, b"SHELL": command.SHELL}
    return command.run_shell(line.lstrip(b" \t"), delivery.message, delivery.output, delivery.error_output, environ,
                             cwd=directory)


def into_maildir(line, directory, delivery, mailbox):
    if not line.endswith(b"/"):
        raise Answer(b"can't handle mbox delivery for " + line, TEMPORARY)
    path = line if line.startswith(b"/") else b"%b/%b" % (directory, line.removeprefix(b"./"))
    if path.rstrip(b"/") == mailbox.path.rstrip(b"/"):
        mailbox.deliver(delivery.message, delivery.return_path())
        return
    named = Mailbox(path, None, recipient(path, delivery.address), delivery.texts, delivery.flush,
                    delivery.copies)
    named.deliver(delivery.message, delivery.return_path())


def inject(address, start, delivery):
    """Have qmail-inject send `start` and the message to one address; its exit code. Raises Temporary, Unreadable.

    It is done in this process, unless an administrator has put another program in its place.
    """
    if not home.ours("qmail-inject"):
        return run_inject(address, start, delivery)
    from ..inject.injection import inject as inject_here    # only where mail is forwarded
    pieces = delivery.message.pieces(start)
    return inject_here([b"--", address], delivery.environ, lambda: next(pieces, b""),
                       error_output=delivery.error_output, number=os.getpid() * NUMBERS + next(_numbers) % NUMBERS)


def run_inject(address, start, delivery):
    """inject() by bin/qmail-inject as a program of its own."""
    program = os.fsencode(home.program("qmail-inject"))
    reader, writer = os.pipe()
    try:
        try:
            pid = child.start(program, [program, b"--", address],
                              {0: reader, 1: delivery.output, 2: delivery.error_output}, env=delivery.environ,
                              failed=TEMPORARY)
        finally:
            os.close(reader)
        try:
            for piece in delivery.message.pieces(start):
                netio.write_all(writer, piece)
        except BrokenPipeError:
            pass                    # it has ended early; its exit code says why
        except BaseException:
            kill(pid)               # half a message must not go out
            raise
    finally:
        os.close(writer)
    code = child.wait(pid)
    return code if code >= 0 else TEMPORARY


def kill(pid):
    from ..base import sig          # only when the message cannot be read
    os.kill(pid, sig.KILL)
    child.wait(pid)
