"""What vpopmail's programs have in common: options, answers, the question for a password.

Results, usage and "Error: ..." go to standard output, notices and complaints to standard error.
Options are read as the C library's getopt does, options after other words included. An unknown one is complained
about and ends the options; most programs then go on with the words that are left.
"""
import os
import sys

from ..base import netio
from . import passwords
from .errors import Refused
from .names import BadName

VERSION = b"5.4.33-pyqmail"
FAILED = 255
RANDOM_LENGTH = 8
LONGEST_LINE = 1024


def say(*parts):
    """One line on standard output."""
    netio.write_all(1, b"".join(parts) + b"\n")


def complain(*parts):
    """One line on standard error."""
    netio.write_all(2, b"".join(parts) + b"\n")


def usage(text, status=FAILED):
    """Write a usage text (str) and return the exit code."""
    netio.write_all(1, text.encode())
    return status


def answer(work, *arguments):
    """work(*arguments), what it refuses told as vpopmail tells it: the exit code."""
    try:
        return work(*arguments)
    except BadName as why:
        complain(why.line)
        return refuse(why)
    except Refused as why:
        return refuse(why)


def refuse(why):
    say(b"Error: ", str(why).encode())
    return why.status


class Options:
    """found: [(letter, value or None)] up to the first wrong one; rest: the other words; bad: True after a
    complaint. letters: as for getopt, "r::" takes a value only in its own word. -v is answered here, where it
    is among the letters."""

    def __init__(self, argv, letters):
        self.found, self.rest, self.bad = [], [], False
        self._kinds = _kinds(letters)
        self._words = list(argv)
        while self._words and not self.bad:
            word = self._words.pop(0)
            if word == b"--":
                break
            if word[:1] == b"-" and len(word) > 1:
                self._read(word)
            else:
                self.rest.append(word)
        self.rest += self._words

    def _read(self, word):
        place = 1
        while place < len(word):
            letter = word[place:place + 1]
            place += 1
            colons = self._kinds.get(letter)
            if colons is None:
                return self._wrong(b"invalid option -- '%b'" % letter, word if place < len(word) else None)
            value = None
            if colons:
                value, place = word[place:] or None, len(word)
                if value is None and colons == 1:
                    if not self._words:
                        return self._wrong(b"option requires an argument -- '%b'" % letter)
                    value = self._words.pop(0)
            if letter == b"v":
                say(b"version: ", VERSION)
            self.found.append((letter, value))

    def _wrong(self, text, word=None):
        complain(os.fsencode(sys.argv[0]), b": ", text)
        self.bad = True
        if word is not None:            # getopt has not left this word yet
            self._words.insert(0, word)


def _kinds(letters):
    """{letter: number of colons after it}"""
    found, last = {}, b""
    for byte in letters:
        if byte == ord(":"):
            found[last] += 1
        else:
            last = bytes((byte,))
            found[last] = 0
    return found


def random_password(value):
    """A random password for the option -r[len], told on standard output."""
    length = int(value) if value and value.isdigit() and 0 < int(value) <= 128 else RANDOM_LENGTH
    clear = passwords.random(length)
    say(b"Random password: ", clear)
    return clear


def ask_password(who):
    """The password for `who`, asked for twice until both are the same: on the terminal, else standard error and
    input. Raises EOFError when the input ends."""
    while True:
        first = ask(b"Please enter password for %b: " % who)
        if first == ask(b"enter password again: "):
            return first
        say(b"Passwords do not match, try again")


def ask(prompt):
    """One line that is not echoed, without its newline. Raises EOFError."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        netio.write_all(2, prompt)
        return read_line(0)
    import termios                      # only with a terminal
    settings = termios.tcgetattr(terminal)
    silent = settings[:3] + [settings[3] & ~termios.ECHO] + settings[4:]
    try:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, silent)
        netio.write_all(terminal, prompt)
        return read_line(terminal)
    finally:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, settings)
        netio.write_all(terminal, b"\n")
        os.close(terminal)


def read_line(fd):
    """A line, byte by byte: what follows belongs to whoever reads next. Raises EOFError."""
    line = bytearray()
    while len(line) < LONGEST_LINE:
        byte = os.read(fd, 1)
        if byte == b"\n" or not byte and line:
            return bytes(line)
        if not byte:
            raise EOFError
        line += byte
    return bytes(line)
