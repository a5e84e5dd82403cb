"""Running the system's programs (useradd, apt-get, pip …) for the installer."""
import os

from ..base import child
from ..base.errors import Temporary

PATH = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SHOWN = 2000                        # bytes of a failed program's output that are worth showing


def attempt(*argv, env=(), stdin="/dev/null"):
    """(exit code, output) of a program found along the system's PATH. env: (name, value) pairs to add;
    stdin: the file it reads."""
    words = [os.fsencode(word) for word in argv]
    variables = {**child.environment(), b"PATH": PATH, b"LC_ALL": b"C",
                 **{os.fsencode(name): os.fsencode(value) for name, value in env}}
    reader, writer = os.pipe()
    source = os.open(stdin, os.O_RDONLY | os.O_CLOEXEC)
    pid = child.start(words[0], words, {0: source, 1: writer, 2: writer}, env=variables, search=PATH, failed=127)
    os.close(writer)
    os.close(source)
    with open(reader, "rb") as f:
        output = f.read()
    return child.wait(pid), output.decode(errors="replace")


def run(*argv, env=(), stdin="/dev/null"):
    """The program's output. Raises Temporary, with the end of the output, if it fails."""
    code, output = attempt(*argv, env=env, stdin=stdin)
    if code != 0:
        raise Temporary(f"{' '.join(map(os.fsdecode, argv))}: {'not found' if code == 127 else f'exit code {code}'}"
                        + (f"\n{output[-SHOWN:]}" if output else ""))
    return output
