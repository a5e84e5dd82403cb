"""qmail-qmqpc: servers, envelopes and answers that the recorded cases do not show."""
import os
import socket
import threading

import pytest

from pyqmail.base import home
from pyqmail.programs import qmail_qmqpc as qmqpc
from pyqmail.qmtp import qmqp


@pytest.mark.parametrize("line, address", [
    (b"192.0.2.1", b"192.0.2.1"), (b"192.0.2.1:628", b"192.0.2.1"), (b"192.0.2.1 # first", b"192.0.2.1"),
    (b"010.0.0.1", b"10.0.0.1"), (b"192.0.2.256", None), (b"192.0.2", None), (b"192.0.2.", None), (b"host.test", None),
    (b"[192.0.2.1]", None), (b"2001:DB8::1", b"2001:db8::1"), (b"1::2", b"1::2"), (b"::ffff:192.0.2.1", b"192.0.2.1"),
    (b"", None), (b"\xff", None), (b"x" * 1000, None)])
def test_server_lines(line, address):
    assert qmqpc.parse(line) == address


@pytest.fixture
def envelope():
    """envelope(bytes): what read_envelope makes of them on descriptor 1."""
    kept = os.dup(1)

    def feed(data):
        reader, writer = os.pipe()

        def write():
            try:
                os.write(writer, data)
            except OSError:
                pass
            os.close(writer)
        writing = threading.Thread(target=write)
        writing.start()
        os.dup2(reader, 1)
        os.close(reader)
        try:
            return qmqpc.read_envelope()
        except qmqpc.Failed as why:
            return why.code
        finally:
            os.dup2(kept, 1)
            writing.join()
    yield feed
    os.close(kept)


@pytest.mark.parametrize("data, result", [
    (b"F\0\0", (b"", b"")), (b"Fs\0Ta\0T\0\0rest", (b"s", b"1:a,0:,")),
    (b"Fs\0T" + b"x" * 70_000 + b"\0\0", (b"s", b"70000:" + b"x" * 70_000 + b",")),
    (b"", 91), (b"F", 91), (b"\0", 91), (b"Fs\0", 91), (b"Fs\0Ta", 91), (b"Fs\0a\0\0", 91), (b"Fs\0Fs\0\0", 91),
    (b"Fs\0T" + b"x" * 2_000_000, 11)])
def test_envelopes(envelope, data, result):
    assert envelope(data) == result


class Peer(threading.Thread):
    """A server that takes everything and answers with `answer`."""

    def __init__(self, monkeypatch, answer):
        super().__init__()
        self.listener, self.answer, self.heard = socket.create_server(("127.0.0.1", 0)), answer, b""
        monkeypatch.setattr(qmqp, "PORT", self.listener.getsockname()[1])
        self.start()

    def run(self):
        sock, _ = self.listener.accept()
        with sock:
            while not self.heard.endswith(b",,"):
                self.heard += sock.recv(65536)
            for piece in self.answer:
                sock.sendall(piece)
        self.listener.close()


@pytest.mark.parametrize("answer, code", [
    ([b"3:Kok,"], 0), ([b"10", b":", b"Dno"], 31), ([b"3:Zno,"], 71), ([b"x" * 5000, b"K"], 0), ([b"3:xxx,"], 74),
    ([], 74)])
@pytest.mark.parametrize("length", [3, 300_000])
def test_answers(monkeypatch, answer, code, length):
    peer = Peer(monkeypatch, answer)
    assert qmqpc.submit([b"127.0.0.1"], qmqpc.assemble(bytearray(b"m" * length), b"s", b"1:r,")) == code
    peer.join()
    assert peer.heard.partition(b":")[2] == b"%d:%b,1:s,1:r,," % (length, b"m" * length)


def test_nobody_listens(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        monkeypatch.setattr(qmqp, "PORT", probe.getsockname()[1])
    assert qmqpc.submit([b"127.0.0.1", b"::1"], [b""]) == 73
    assert qmqpc.submit([], [b""]) == 55


def test_a_packet_that_no_server_takes(monkeypatch):
    monkeypatch.setattr(qmqp, "LONGEST", 10)
    monkeypatch.setattr(qmqpc, "read_servers", lambda: [b"127.0.0.1"])
    monkeypatch.setattr(qmqpc, "confine", lambda: None)         # this is the process of all tests
    monkeypatch.setattr(qmqpc, "read_message", lambda: bytearray(b"x" * 20))
    monkeypatch.setattr(qmqpc, "read_envelope", lambda: (b"s", b""))
    assert qmqpc.main([]) == 51


def test_a_launcher_in_place_of_another_is_not_ours(tmp_path, monkeypatch):
    """With qmail-qmqpc as bin/qmail-queue nobody may use the queue service of the same machine."""
    monkeypatch.setattr(home, "HOME", str(tmp_path))
    (tmp_path / "bin").mkdir()
    for name, module in (("qmail-queue", "qmail_qmqpc"), ("qmail-qmqpc", "qmail_qmqpc"), ("except", "except_")):
        (tmp_path / "bin" / name).write_text(f"from pyqmail.programs.{module} import main\n")
    assert [home.ours(name) for name in ("qmail-queue", "qmail-qmqpc", "except", "none")] == [False, True, True, False]
