"""Starting programs from a process with threads: descriptors, directory, environment, trouble."""
import fcntl
import os

import pytest

from pyqmail.base import child


def output(program, fds=None, **options):
    reader, writer = os.pipe()
    pid = child.spawn(program[0], program, {1: writer, **(fds or {})}, **options)
    os.close(writer)
    text = b""
    while piece := os.read(reader, 4096):
        text += piece
    os.close(reader)
    return child.wait(pid), text


def test_directory_of_the_child_and_ours(tmp_path):
    before = os.getcwd()
    assert output(["/bin/sh", "-c", "pwd"], cwd=tmp_path) == (0, os.fsencode(tmp_path) + b"\n")
    assert os.getcwd() == before


def test_exit_code_and_environment():
    assert output(["/bin/sh", "-c", "echo $ONLY; exit 31"], env={b"ONLY": b"this"}) == (31, b"this\n")


def test_only_the_given_descriptors():
    """2 leads to /dev/null; what is ours alone stays so."""
    ours = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 77)
    try:
        code, text = output(["/bin/sh", "-c", "cd /proc/self/fd; echo *; readlink 2"], {0: ours})
    finally:
        os.close(ours)
    numbers, error = text.split(b"\n")[:2]
    assert code == 0 and error == b"/dev/null"
    assert {b"0", b"1", b"2"} <= set(numbers.split()) and str(ours).encode() not in numbers.split()


def test_descriptors_that_change_places():
    """Each is wanted under the number of the other."""
    first, second = os.pipe(), os.pipe()
    os.write(first[1], b"one\n")
    os.write(second[1], b"two\n")
    fds = {first[0]: second[0], second[0]: first[0]}
    script = f"head -n 1 <&{first[0]}; head -n 1 <&{second[0]}"
    try:
        assert output(["/bin/bash", "-c", script], fds) == (0, b"two\none\n")
    finally:
        for fd in (*first, *second):
            os.close(fd)


def test_what_cannot_be_executed_is_told_at_once_and_leaves_us_where_we_were(tmp_path):
    before, open_before = os.getcwd(), len(os.listdir("/proc/self/fd"))
    for path, trouble in [(tmp_path / "missing", FileNotFoundError), (tmp_path, PermissionError)]:
        with pytest.raises(trouble):
            child.spawn(path, [str(path)], {1: 1}, cwd=tmp_path)
    assert os.getcwd() == before
    assert len(os.listdir("/proc/self/fd")) == open_before
