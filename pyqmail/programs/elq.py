"""elq: read new mail with elm.

    elq [ argument … ]

Runs maildir2mbox, which moves the mail of $MAILDIR into the mbox $MAIL, then executes elm with elq's
arguments. Exit code: that of maildir2mbox if it is not 0 (its complaint is the only output then), else elm's;
127 if elm does not exist, 126 if it cannot be executed.

**Security**: runs as the owner of the mailbox; elm is looked up along PATH.
Source: qmail 1.03's elq.
"""
from ..base import child, errors, home


def main(argv):
    return read_with("elq", b"elm", argv)


def read_with(name, reader, argv):
    """The program `name` with the mail reader `reader`. Returns an exit code, if at all."""
    environ = child.environment()
    program = home.program("maildir2mbox")
    code = child.wait(child.start(program, [program], {0: 0, 1: 1, 2: 2}, env=environ, failed=126))
    if code:
        return code if code > 0 else 128 - code
    try:
        child.execute([reader, *argv], environ)
    except OSError as why:
        errors.say(name, ": fatal: unable to run ", reader, ": ", errors.text(why))
        return 127 if isinstance(why, FileNotFoundError) else 126
