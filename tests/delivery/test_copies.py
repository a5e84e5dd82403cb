"""What copies in Maildirs are called, and that a delivery made again makes none twice."""
import os

import pytest

from pyqmail.base import maildir
from pyqmail.delivery import copies
from pyqmail.delivery.copies import Copies
from pyqmail.delivery.deliver import Order, deliver

NUMBER = b"1795338307.000000001777"


@pytest.mark.parametrize("value, number, repeat", [
    (b"", b"", False), (NUMBER, NUMBER, False), (NUMBER + b" again", NUMBER, True), (b"../x", b"", False),
    (b"1/2", b"", False), (b"1:2", b"", False), (b" again", b"", True)])
def test_the_variable(value, number, repeat):
    found = copies.told(value)
    assert (found.number, found.repeat) == (number, repeat)
    if number:
        assert copies.telling(number, repeat) == value


def test_a_delivery_that_nobody_knows_has_no_copies(tmp_path):
    assert Copies().next(-1) is None


class Home:
    """A home with Maildirs a and b (and c, a link to a), and a message."""

    def __init__(self, path):
        self.path = path
        path.chmod(0o700)
        for name in "ab":
            maildir.make(os.fsencode(path / name))
        (path / "c").symlink_to("a")
        self.message = os.open(path / "message", os.O_RDWR | os.O_CREAT, 0o600)
        os.write(self.message, b"Subject: t\n\nbody\n")

    def deliver(self, lines, known=None):
        (self.path / ".qmail").write_bytes(lines)
        (self.path / ".qmail").chmod(0o600)
        output = os.memfd_create("output")
        try:
            return deliver(Order(b"joe", os.fsencode(self.path), b"joe", b"", b"", b"h.example", b"sue@a.example", b"./x",
                                 message=self.message, output=output, environ={b"PATH": b"/usr/bin:/bin"}, copies=known))
        finally:
            os.close(output)

    def names(self, name="a"):
        return sorted(os.fsencode(entry) for part in ("new", "cur") for entry in os.listdir(self.path / name / part))

    def read(self, name="a"):
        """As a reader moves what is new."""
        for entry in os.listdir(self.path / name / "new"):
            os.rename(self.path / name / "new" / entry, self.path / name / "cur" / f"{entry}:2,S")


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path)
    yield home
    os.close(home.message)


def test_each_line_is_a_copy_of_its_own(home):
    assert home.deliver(b"./a/\n./b/\n./c/\n./a/\n", Copies(NUMBER)) == 0
    name = maildir.named(NUMBER)
    assert home.names("b") == [name]
    assert home.names("a") == sorted([name, maildir.named(NUMBER + b"L1"), maildir.named(NUMBER + b"L2")])


@pytest.mark.parametrize("times", [1, 3])
def test_made_again(home, times):
    home.deliver(b"./a/\n./b/\n./a/\n", Copies(NUMBER))
    home.read()
    for _ in range(times):
        assert home.deliver(b"./a/\n./b/\n./a/\n", Copies(NUMBER, True)) == 0
    assert (len(home.names("a")), len(home.names("b"))) == (2, 1)


def test_the_line_before_a_failing_one_is_not_repeated(home):
    """qmail delivers it at each attempt."""
    assert home.deliver(b"./a/\n|exit 111\n", Copies(NUMBER)) == 111
    home.read()
    assert home.deliver(b"./a/\n|exit 0\n", Copies(NUMBER, True)) == 0
    assert len(home.names()) == 1


def test_without_a_number_every_delivery_is_another(home):
    for _ in range(2):
        home.deliver(b"./a/\n")
    assert len(home.names()) == 2


def test_commands_are_not_told(home):
    home.deliver(b"|env >env\n", Copies(NUMBER, True))
    assert NUMBER not in (home.path / "env").read_bytes()
