"""Files that others may have written do not control mail, and odd files cannot hold it up.

A .qmail file or home that everybody may write to, or a home with the sticky bit, defers the mail:
it neither bounces nor follows the file, nor falls back to a shorter one.
"""
import os
import resource

import pytest

from pyqmail.delivery import dotqmail
from pyqmail.delivery.deliver import Order, deliver


@pytest.fixture
def run(tmp_path):
    tmp_path.chmod(0o700)
    (tmp_path / "message").write_bytes(b"Subject: t\n\n")
    message, output = os.open(tmp_path / "message", os.O_RDONLY), os.open(tmp_path / "said", os.O_RDWR | os.O_CREAT)

    def run(ext=b"a"):
        os.ftruncate(output, 0)
        code = deliver(Order(b"joe", os.fsencode(tmp_path), b"joe-" + ext, b"-", ext, b"h", b"s@x", b"./Mailbox",
                             message=message, output=output, environ={b"PATH": b"/bin"}))
        return code, (tmp_path / "said").read_bytes()
    yield run
    os.close(message)
    os.close(output)


@pytest.mark.parametrize("mode", [0o602, 0o622, 0o666, 0o777])
@pytest.mark.parametrize("name", [".qmail-a", ".qmail-default"])
def test_writable_file(run, tmp_path, name, mode):
    (tmp_path / ".qmail-default").write_bytes(b"|touch fell-back\n")
    (tmp_path / name).write_bytes(b"|touch followed\n")
    (tmp_path / name).chmod(mode)
    assert run() == (111, b"Uh-oh: .qmail file is writable. (#4.7.0)\n")
    assert not {"followed", "fell-back"} & set(os.listdir(tmp_path))


@pytest.mark.parametrize("mode, said", [
    (0o702, b"Uh-oh: home directory is writable. (#4.7.0)\n"),
    (0o1777, b"Uh-oh: home directory is writable. (#4.7.0)\n"),
    (0o1700, b"Home directory is sticky: user is editing his .qmail file. (#4.2.1)\n"),
])
def test_home(run, tmp_path, mode, said):
    (tmp_path / ".qmail-a").write_bytes(b"|touch followed\n")
    tmp_path.chmod(mode)
    assert run() == (111, said)
    assert not (tmp_path / "followed").exists()


def test_a_fifo_does_not_hold_it_up(run, tmp_path):
    os.mkfifo(tmp_path / ".qmail-a")
    assert run() == (100, b"Sorry, no mailbox here by that name. (#5.1.1)\n")


def test_a_huge_file_is_not_read(run, tmp_path):
    with open(tmp_path / ".qmail-a", "wb") as f:
        f.truncate(1 << 40)             # all of it a hole
    code, said = run()
    assert code == 111 and said.startswith(b"Uh-oh: .qmail file has more than ")


def test_a_file_without_newlines(run, tmp_path):
    (tmp_path / ".qmail-a").write_bytes(b"#" * dotqmail.SIZE)
    assert run() == (0, b"did 0+0+0\n")


@pytest.mark.parametrize("text", [b"+list", b"+", b"&", b"|", b"\0", b".", b"/", b"+lis", b"#", b" ", b"\t\0"])
def test_lines_of_one_byte_are_read_within_bounds(run, tmp_path, text):
    """Reading past the end of such lines was a published fault."""
    (tmp_path / ".qmail-a").write_bytes(text)
    code, said = run()
    assert code in (0, 111) and (code == 0) == said.startswith(b"did ")


def test_a_dot_cannot_climb(run, tmp_path):
    outside = tmp_path.parent / "outside"
    outside.write_bytes(b"|touch followed\n")
    (tmp_path / ".qmail-").mkdir()
    for ext in (b"/../../outside", b"/../outside", b"../outside"):
        assert run(ext)[0] == 100


@pytest.mark.parametrize("header", [b"a", b"a: b\n"])
def test_an_endless_header_takes_little_memory(run, tmp_path, header):
    """A header line, or header, far larger than the memory the process may have."""
    (tmp_path / ".qmail-a").write_bytes(b"#\n")
    with open(tmp_path / "message", "wb") as f:
        f.write(header)
        f.truncate(1 << 30)             # one line of NUL bytes
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), limits[1]))
    try:
        assert run() == (0, b"did 0+0+0\n")
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
