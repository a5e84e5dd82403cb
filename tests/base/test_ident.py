"""Ident answers."""
import socket
import threading

import pytest

from pyqmail.base import ident


@pytest.mark.parametrize("answer, name", [
    (b"34567 , 2525 : USERID : UNIX : joe\r\n", b"joe"),
    (b"1,2:USERID:OTHER: j o\te:x\r\n", b"joe:x"),
    (b"1,2:ERROR:NO-USER\r\n", b""),
    (b"rubbish\n", b""),
    (b"1,2:USERID:UNIX:a\0b\n", b"a"),
    (b"1:2:3:first\nsecond\n", b"first"),
    (b":::" + b"x" * 2000 + b"\n", b"x" * ident.LONGEST),
])
def test_names(answer, name):
    assert ident.name(answer) == name


@pytest.fixture
def server(monkeypatch):
    listener = socket.create_server(("127.0.0.1", 0))
    monkeypatch.setattr(ident, "PORT", listener.getsockname()[1])
    asked = []

    def start(answer):
        def serve():
            client, _ = listener.accept()
            with client:
                asked.append(client.recv(100))
                client.sendall(answer)
        thread = threading.Thread(target=serve)
        thread.start()
        return thread, asked
    yield start
    listener.close()


@pytest.mark.parametrize("answer, expected", [(b"1,2:USERID:UNIX:joe\r\n", b"joe"), (b"no line", None), (b"", None)])
def test_ask(server, answer, expected):
    thread, asked = server(answer)
    assert ident.ask(("127.0.0.1", 2525), ("127.0.0.1", 34567), 20) == expected
    thread.join()
    assert asked == [b"34567 , 2525\r\n"]


def test_nobody_there(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as free:
        monkeypatch.setattr(ident, "PORT", free.getsockname()[1])
    assert ident.ask(("127.0.0.1", 1), ("127.0.0.1", 2), 20) is None
