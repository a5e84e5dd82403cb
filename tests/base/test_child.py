"""Starting programs: descriptors, working directory, failures."""
import os
import select

import pytest

from pyqmail.base import child, sig


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


@pytest.mark.parametrize("run, code", [
    (lambda: None, 0), (lambda: 7, 7), (lambda: 1 / 0, 44), (lambda: os.kill(os.getpid(), 9), -9)])
def test_a_forked_process_never_comes_back(run, code, capfd):
    ours = os.getpid()
    try:
        assert child.wait(child.fork(run, failed=44)) == code
    finally:
        assert os.getpid() == ours
    said = capfd.readouterr().err
    assert ("alert: ZeroDivisionError: division by zero (test_child.py:" in said) == (code == 44)
    assert said.count("\n") == (code == 44)


def test_what_a_process_found_out():
    assert child.result_of(lambda: b"x" * 100_000, 1_000_000) == (0, b"x" * 100_000)
    assert child.result_of(lambda: b"abc", 2) == (0, b"ab")
    assert child.result_of(lambda: os._exit(5), 10) == (5, b"")
    assert child.result_of(lambda: b"%d" % os.getpid(), 10) != (0, b"%d" % os.getpid())


def test_find(tmp_path):
    for place, mode in (("a", 0o755), ("b", 0o644), ("c", 0o755)):
        (tmp_path / place).mkdir()
        (tmp_path / place / "program").touch()
        (tmp_path / place / "program").chmod(mode)
    (tmp_path / "d/program").mkdir(parents=True)
    a, b, c, d = (os.fsencode(tmp_path / place) for place in "abcd")
    assert child.find(b"program", b":".join((d, b, c, a))) == c + b"/program"
    assert child.find(b"program", b":".join((b, d))) is None
    assert child.find(a + b"/program", b"") == a + b"/program" and child.find(b + b"/program", a) is None


def test_reap_gives_all_who_have_ended_and_waits_for_nobody():
    reader, writer = os.pipe()
    living = child.fork(lambda: os.read(reader, 1) and 0)
    ended = {child.fork(lambda: 3): 3, child.fork(lambda: os.kill(os.getpid(), 15)): -15}
    for pid in ended:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert ended.items() <= dict(child.reap()).items()      # and whom earlier tests left behind
    os.write(writer, b"x")
    assert child.wait(living) == 0 and living not in dict(child.reap())
    os.close(reader)
    os.close(writer)


def test_wake_pipe():
    called = []
    sig.catch(sig.CHLD, lambda: called.append(True))
    reader, writer = sig.wake_pipe()
    try:
        assert select.select([reader], [], [], 0)[0] == []
        os.kill(os.getpid(), sig.CHLD)
        assert select.select([reader], [], [], 60)[0] == [reader] and called
        sig.drain(reader)
        assert select.select([reader], [], [], 0)[0] == []
    finally:
        sig.wakeup(-1)
        sig.default(sig.CHLD)
        os.close(reader)
        os.close(writer)
