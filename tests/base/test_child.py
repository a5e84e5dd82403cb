"""Starting programs: descriptors, working directory, failures."""
import os

import pytest

from pyqmail.base import child


def output_of(argv, fds=(), **options):
    reader, writer = os.pipe()
    pid = child.start(argv[0], argv, {1: writer, **dict(fds)}, **options)
    os.close(writer)
    with os.fdopen(reader, "rb") as f:
        data = f.read()
    return data, child.wait(pid)


def test_descriptors_may_be_exchanged():
    """The child's 0 is our b and its 5 our a, even when those numbers overlap."""
    a, b = os.memfd_create("a"), os.memfd_create("b")
    os.write(a, b"from a")
    os.write(b, b"from b")
    os.lseek(a, 0, 0)
    os.lseek(b, 0, 0)
    data, code = output_of(["/bin/sh", "-c", f"cat; cat /proc/self/fd/{b}"], {0: b, b: a})
    assert (data, code) == (b"from bfrom a", 0)
    os.close(a)
    os.close(b)


def test_nothing_else_is_inherited():
    spare = os.open("/", os.O_RDONLY)
    data, _ = output_of(["/bin/ls", "/proc/self/fd"], {0: spare})
    assert b"0" in data.split() and b"%d" % spare not in data.split()
    os.close(spare)


@pytest.mark.parametrize("options, code", [({}, 120), ({"failed": 126}, 126), ({"failed": lambda why: why.errno}, 2),
                                           ({"cwd": "/nonexistent"}, 61)])
def test_what_cannot_be_run(options, code):
    assert output_of(["/nonexistent/program"], **options) == (b"", code)


@pytest.mark.parametrize("search", [None, b"/bin"])
def test_a_program_without_a_name_does_not_exist(search):
    assert output_of([""], search=search, failed=lambda why: why.errno) == (b"", 2)


def test_environment_is_given_as_it_is():
    data, _ = output_of(["/usr/bin/env"], env={b"A": b"\xff", b"B": b""})
    assert sorted(data.split(b"\n")) == [b"", b"A=\xff", b"B="]


def test_signals_show_as_negative():
    assert output_of(["/bin/sh", "-c", "kill -9 $$"]) == (b"", -9)


def test_a_script_without_interpreter_is_run_by_sh_where_a_path_is_searched(tmp_path):
    (tmp_path / "script").write_text('echo "$0 $1"\n')
    (tmp_path / "script").chmod(0o755)
    search = b"/nonexistent:%b" % os.fsencode(tmp_path)
    assert output_of(["script", "a b"], search=search) == (b"%b/script a b\n" % os.fsencode(tmp_path), 0)
    assert output_of([str(tmp_path / "script"), "c"], search=b"") == (b"%b/script c\n" % os.fsencode(tmp_path), 0)
    assert output_of([str(tmp_path / "script"), "c"]) == (b"", 120)
