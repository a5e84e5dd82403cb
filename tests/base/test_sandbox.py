"""What base/sandbox.py takes away, in processes of their own; and a kernel that has none of it."""
import errno
import io
import os
import socket
import sys
import threading

import pytest

from pyqmail.base import child, home, libc, prot, sandbox

HERE = sandbox.missing()
confining = pytest.mark.skipif(HERE != "", reason=f"this kernel has no {HERE}")


def inside(work, *, enter=lambda: sandbox.enter(None)):
    """What work() returns, as str, in a process that has entered; the name of its OSError's errno."""
    def answer():
        try:
            enter()
            return str(work()).encode()
        except OSError as why:
            return errno.errorcode[why.errno].encode()
    status, answer = child.result_of(answer, 1000)
    assert status == 0
    return answer.decode()


def files(**rules):
    return lambda: sandbox.enter(sandbox.Files(**rules))


@pytest.fixture
def place(tmp_path):
    for name in ("read", "write", "remove", "run", "names", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("text")
        (tmp_path / name / "program").write_text("#!/bin/sh\nexit 7\n")
        (tmp_path / name / "program").chmod(0o755)
    return tmp_path


def opened(path, flags=os.O_RDONLY):
    os.close(os.open(path, flags, 0o600))
    return "yes"


TRIES = {
    "read": lambda at: opened(f"{at}/file"),
    "write": lambda at: opened(f"{at}/file", os.O_WRONLY),
    "truncate": lambda at: os.truncate(f"{at}/file", 0) or "yes",
    "make": lambda at: opened(f"{at}/new", os.O_WRONLY | os.O_CREAT),
    "mkdir": lambda at: os.mkdir(f"{at}/directory") or "yes",
    "link": lambda at: os.symlink("a", f"{at}/link") or "yes",
    "remove": lambda at: os.unlink(f"{at}/file") or "yes",
    "list": lambda at: os.listdir(at) and "yes",
    "run": lambda at: os.execv(f"{at}/program", ["program"]),
}
GIVEN = {"read": {"read", "list"}, "write": {"read", "write", "truncate", "make", "remove", "list"},
         "remove": {"remove", "list"}, "names": {"list"}, "other": set()}


@confining
@pytest.mark.parametrize("directory", sorted(GIVEN))
def test_files(place, directory):
    rules = files(**{name: [f"{place}/{name}"] for name in ("read", "write", "remove", "run", "names")})
    for name, attempt in TRIES.items():
        found = inside(lambda attempt=attempt: attempt(place / directory), enter=rules)
        assert found == ("yes" if name in GIVEN[directory] else "EPERM" if name == "run" else "EACCES"), name


def elf(at, order="little", segments=3, bits=2):
    """An ELF file whose last segment names its loader, at the place `at` of the file."""
    text, entry, table = b"/lib64/ld.so.2\0", 56, at + 100
    head = b"\x7fELF" + bytes([bits, 1 if order == "little" else 2])
    head = head.ljust(32, b"\0") + table.to_bytes(8, order)
    head = head.ljust(54, b"\0") + entry.to_bytes(2, order) + segments.to_bytes(2, order)
    last = (3).to_bytes(4, order).ljust(8, b"\0") + at.to_bytes(8, order)
    last = last.ljust(32, b"\0") + len(text).to_bytes(8, order)
    others = (1).to_bytes(4, order).ljust(entry, b"\0") * (segments - 1)
    return (head.ljust(at, b"\0") + text).ljust(table, b"\0") + others + last.ljust(entry, b"\0")


@pytest.mark.parametrize("content, found", [
    (elf(64), [b"/lib64/ld.so.2"]),
    (elf(6_000_000), [b"/lib64/ld.so.2"]),          # the Python 3.13 of Debian 13 has it far behind its beginning
    (elf(64, "big"), [b"/lib64/ld.so.2"]),
    (elf(64, segments=0), []), (elf(64, bits=1), []), (b"#!/bin/sh\n", []), (b"", []), (elf(64)[:70], []),
])
def test_the_loader_of_a_program(content, found):
    assert sandbox.loader(io.BytesIO(content)) == found


@confining
def test_programs_that_may_run(place):
    def enter():
        sandbox.enter(sandbox.Files(run=[f"{place}/run", "/bin/sh", *sandbox.interpreter()],
                                    read=[f"{place}/run", f"{place}/other"]), forks=True, execs=True)
    def status(path):
        return os.waitstatus_to_exitcode(os.waitpid(os.posix_spawn(path, ["program"], {}), 0)[1])
    assert inside(lambda: status(f"{place}/run/program"), enter=enter) == "7"
    for path in (f"{place}/other/program", "/bin/true"):
        assert inside(lambda path=path: status(path), enter=enter) == "EACCES"


@confining
def test_what_is_open_stays_open(place):
    with open(place / "other" / "file", "rb", buffering=0) as f:
        assert inside(f.read, enter=files()) == "b'text'"


@confining
def test_python_can_import(place):
    def load():
        import calendar
        import sqlite3
        return calendar.__name__ and sqlite3.__name__
    assert inside(load, enter=files()) == "sqlite3"


@confining
@pytest.mark.parametrize("sockets, family, found", [
    ((), socket.AF_UNIX, "EPERM"), ((1,), socket.AF_UNIX, "yes"), ((1,), socket.AF_INET, "EPERM"),
    ((1, 2), socket.AF_INET, "yes"), ((1, 2), socket.AF_PACKET, "EPERM")])
def test_sockets(sockets, family, found):
    assert inside(lambda: socket.socket(family, socket.SOCK_DGRAM).close() or "yes",
                  enter=lambda: sandbox.enter(None, sockets=sockets)) == found


@confining
def test_tcp():
    with socket.create_server(("127.0.0.1", 0)) as server:
        def connect():
            socket.create_connection(server.getsockname()).close()
            return "yes"
        assert inside(connect, enter=lambda: sandbox.enter(None, sockets=(2,), tcp=True)) == "yes"
        assert inside(connect, enter=lambda: sandbox.enter(None, sockets=(2,))) == "EACCES"
        assert inside(lambda: socket.create_server(("127.0.0.1", 0)),
                      enter=lambda: sandbox.enter(None, sockets=(2,), tcp=True)) == "EACCES"


@confining
def test_processes():
    me = os.getpid()
    fork = lambda: child.wait(os.fork() or os._exit(0))     # noqa: E731
    assert inside(lambda: os.kill(me, 0)) == "EPERM"
    assert inside(fork) == "EPERM"
    assert inside(fork, enter=lambda: sandbox.enter(None, forks=True)) == "0"
    assert inside(lambda: os.posix_spawn("/bin/true", ["true"], {})) == "EPERM"
    assert inside(lambda: os.execv("/bin/true", ["true"]), enter=lambda: sandbox.enter(None, forks=True)) == "EPERM"


@confining
def test_threads_start():
    def started():
        thread = threading.Thread(target=found.append, args=("yes",))
        thread.start()
        thread.join()
        return found[0]
    found = []
    assert inside(started) == "yes"


@confining
@pytest.mark.parametrize("number", [numbers[0] for numbers in sandbox.NEVER])
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86_64")
def test_calls_for_nobody(number):
    def call():
        if sandbox.call(number, *[-1] * 6) == -1:
            raise OSError(libc.errno(), "")
    assert inside(call) == "EPERM"


@confining
def test_twice_is_less(place):
    def enter():
        files(read=[f"{place}/read", f"{place}/other"])()
        files(read=[f"{place}/read"])()
    assert inside(lambda: opened(place / "read" / "file"), enter=enter) == "yes"
    assert inside(lambda: opened(place / "other" / "file"), enter=enter) == "EACCES"


def test_a_kernel_without(monkeypatch, capfd, place):
    """Nothing is refused, uids do what they do, and one line says so."""
    monkeypatch.setattr(sandbox, "landlock_version", lambda: -1)
    monkeypatch.setattr(sandbox, "ARCHITECTURES", {})
    assert inside(lambda: opened(place / "other" / "file"), enter=files()) == "yes"
    assert inside(lambda: sandbox.enter(None)) == "Landlock, seccomp"
    sandbox.check("qmail-smtpd")
    line = "qmail-smtpd: warning: this kernel has no Landlock and seccomp: what uids may, the program may\n"
    assert capfd.readouterr().err == line


@pytest.mark.parametrize("version", [1, 2, 3, 4, 5, 6])
@confining
def test_older_kernels(monkeypatch, place, version):
    """Each asks for no more than it knows: the kernel here would not mind more, so what is asked for is compared."""
    asked = []
    monkeypatch.setattr(sandbox, "landlock_version", lambda: version)

    def call(number, attributes, size, flags):
        asked.append((attributes, size))
        return -1
    monkeypatch.setattr(sandbox, "call", call)
    assert sandbox.restrict(sandbox.Files(), False) == "Landlock"
    [(words, size)] = asked
    assert size == len(words) == {1: 8, 2: 8, 3: 8, 4: 16, 5: 16, 6: 24}[version]
    assert int.from_bytes(words[:8], sys.byteorder).bit_length() == {1: 13, 2: 14}.get(version, 15)


@confining
def test_control_files_elsewhere(monkeypatch, place):
    """control/ or a file in it may be a link; another place that comes later is noticed."""
    os.symlink(place / "read", place / "control")
    os.symlink(place / "other" / "file", place / "read" / "rcpthosts")
    monkeypatch.setattr(home, "HOME", str(place))

    def work(change):
        confined = sandbox.Confined({})
        change()
        return confined.outgrown(), confined.outgrown(), opened(place / "control" / "rcpthosts")
    assert inside(lambda: work(lambda: None), enter=lambda: None) == "(False, False, 'yes')"


@confining
@pytest.mark.parametrize("place_of_it, found", [("other", False), ("write", True)])
def test_outgrown(monkeypatch, place, place_of_it, found):
    (place / "control").mkdir()
    os.symlink(place / "other" / "file", place / "control" / "rcpthosts")
    monkeypatch.setattr(home, "HOME", str(place))
    confined = object.__new__(sandbox.Confined)
    monkeypatch.setattr(sandbox, "enter", lambda *_: None)
    confined.__init__({})
    assert not confined.outgrown()
    os.symlink(place / place_of_it / "file", place / "control" / "locals")
    assert confined.outgrown() is found


@confining
def test_another_directory_in_its_place(monkeypatch, place):
    (place / "control").mkdir()
    monkeypatch.setattr(home, "HOME", str(place))
    (place / "new").mkdir()
    confined = object.__new__(sandbox.Confined)
    monkeypatch.setattr(sandbox, "enter", lambda *_: None)
    confined.__init__({})
    os.rename(place / "control", place / "old")
    assert not confined.outgrown()      # away just now
    os.rename(place / "new", place / "control")
    assert confined.outgrown()


@confining
def test_no_new_rights():
    assert inside(lambda: open("/proc/self/status").read().split("NoNewPrivs:")[1].split()[0]) == "1"
    assert prot.PR_SET_NO_NEW_PRIVS == 38
