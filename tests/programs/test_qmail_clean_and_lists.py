"""qmail-clean's requests, qmail-qread's listing and qmail-qstat's counts, in process and on a real directory."""
import os

import pytest

from pyqmail.base import home
from pyqmail.queue import names
from pyqmail.programs import qmail_clean, qmail_qread, qmail_qstat


@pytest.fixture
def queue(tmp_path, monkeypatch):
    for kind in ("bounce", "intd", "todo", "pid"):
        (tmp_path / "queue" / kind).mkdir(parents=True)
    for kind in names.DIRECTORIES_SPLIT:
        for split in range(names.SPLIT):
            (tmp_path / "queue" / kind / str(split)).mkdir(parents=True)
    monkeypatch.setattr(home, "HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path / "queue")
    return tmp_path / "queue"


@pytest.mark.parametrize("request_, answers, removed", [
    (b"foop/1001", b"+", {"intd/1001", "mess/12/1001"}),
    (b"todo/1001", b"+", {"intd/1001", "todo/1001"}),
    (b"todoX1001", b"+", {"intd/1001", "todo/1001"}),
    (b"foop/" + b"0" * 90 + b"1001", b"+", {"intd/1001", "mess/12/1001"}),
    (b"foop/" + b"0" * 91 + b"1001", b"x", set()),
    (b"foop/1001x0", b"x+", {"intd/1001", "mess/12/1001"}),
    (b"foop/abc", b"xxxx", set()),
    (b"foop/" + str(1001 + (1 << 64)).encode(), b"+", {"intd/1001", "mess/12/1001"}),
    (b"info/1001", b"x", set()), (b"foop/", b"x", set()), (b"", b"x", set()),
])
def test_requests(queue, request_, answers, removed):
    files = {"intd/1001", "todo/1001", "mess/12/1001"}
    for name in files:
        (queue / name).write_bytes(b"")
    assert b"".join(qmail_clean.answers(request_)) == answers
    assert {name for name in files if not (queue / name).exists()} == removed


def test_a_file_that_cannot_be_removed(queue):
    (queue / "intd/1001").mkdir()
    (queue / "todo/1001").write_bytes(b"")
    assert list(qmail_clean.answers(b"todo/1001")) == [b"!"]
    assert (queue / "todo/1001").exists()


def test_endless_request_is_one_bad_request_and_costs_no_memory():
    reader, writer = os.pipe()
    os.write(writer, b"x" * 30_000 + b"\0foop/1\0foop/2")
    os.close(writer)
    requests = list(qmail_clean.requests(reader))
    os.close(reader)
    assert len(requests) == 2 and requests[1] == b"foop/1"
    assert qmail_clean.LONGEST <= len(requests[0]) < 10_000


def output(capfd, main):
    status = main([])
    return status, capfd.readouterr().out


def test_qread(queue, capfd):
    (queue / "mess/12/1001").write_bytes(b"x" * 1234)
    (queue / "info/12/1001").write_bytes(b"Fs\xe9@a.example\0")
    os.utime(queue / "info/12/1001", (1_000_000_000, 1_000_000_000))
    (queue / "local/12/1001").write_bytes(b"Ta@l\0Db@l\0Xc@l\0Td@l")
    (queue / "remote/12/1001").write_bytes(b"Tc@r\0")
    (queue / "bounce/1001").write_bytes(b"")
    (queue / "info/1/24").write_bytes(b"F\0")
    assert output(capfd, qmail_qread.main) == (0, (
        "warning: trouble with #24: file does not exist\n"
        "9 Sep 2001 01:46:40 GMT  #1001  1234  <s_@a.example>  bouncing\n"
        "\tlocal\ta@l\n  done\tlocal\tb@l\n\tremote\tc@r\n"))


def test_qread_without_a_split_directory(queue, capfd):
    os.rmdir(queue / "info/3")
    assert output(capfd, qmail_qread.main) == (111, "fatal: unable to opendir info/3: file does not exist\n")


def test_qstat(queue, capfd):
    for name in ("mess/2/25", "mess/3/odd", "todo/25"):
        (queue / name).write_bytes(b"")
    (queue / "todo/directory").mkdir()
    assert output(capfd, qmail_qstat.main) == (
        0, "messages in queue: 2\nmessages in queue but not yet preprocessed: 1\n")
