"""Admission of connections: limits over all workers, rules, variables, log lines."""
import os
import socket

import pytest

from pyqmail.base import cdb, gate, home, tcprules


def test_table_counts_all_and_each():
    table = gate.Table(3)
    assert [table.enter(7, 2)[1], table.enter(7, 2)[1]] == [1, 2]
    assert table.enter(7, 2) == (None, 2)
    slot, busy = table.enter(8, 2)
    assert busy == 3 and table.enter(9, 0) == (None, 3)
    assert table.leave(slot) == 2 and table.enter(9, 0)[0] == slot


def test_table_tells_keys_apart_that_look_alike():
    """Keys have tags of one byte; the limit is one of keys."""
    table = gate.Table(600)
    for number in range(256):
        assert table.enter(7 + 255 * number, 2)[0] is not None
    first = table.enter(7, 2)[0]
    assert first is not None and table.enter(7, 2) == (None, 257)
    table.leave(first)
    assert table.enter(7, 2) == (first, 257)


def test_dead_workers_leave_no_connections():
    table = gate.Table(4)
    table.enter(1, 0)
    if (pid := os.fork()) == 0:
        table.enter(1, 0)
        table.enter(2, 0)
        os._exit(0)
    os.waitpid(pid, 0)
    assert table.enter(3, 0)[1] == 4
    table.forget(pid)
    assert table.enter(3, 0)[1] == 3


@pytest.mark.parametrize("ip, shown", [("192.0.2.1", "192.0.2.1"), ("::ffff:192.0.2.1", "192.0.2.1"),
                                       ("fe80::1%eth0", "fe80::1"), ("2001:db8::1", "2001:db8::1")])
def test_plain(ip, shown):
    assert gate.plain(ip) == shown


def test_customers():
    same = gate.customer("2001:db8::1")
    assert same == gate.customer("2001:db8::ffff:1") != gate.customer("2001:db8:0:1::1")
    assert gate.customer("192.0.2.1") != gate.customer("192.0.2.2")
    assert gate.customer("::1") and gate.customer("0.0.0.0")


@pytest.fixture
def door(tmp_path, monkeypatch):
    """door(rules, …): a Gate and a function that gives an accepted connection and its client."""
    monkeypatch.setattr(home, "HOME", str(tmp_path))
    monkeypatch.setitem(os.environb, b"TCPREMOTEHOST", b"left over")
    opened = []

    def make(rules=None, slots=5, **more):
        if rules is not None:
            with open(tmp_path / "rules.cdb", "wb") as f:
                cdb.write(f.fileno(), tcprules.compile_rules(rules))
        doors = gate.Gate("smtp", gate.Table(slots), rules="rules.cdb", per_ip=1, local_host=b"mx.example", **more)
        listener = socket.create_server(("127.0.0.1", 0))
        opened.append(listener)

        def knock():
            client = socket.create_connection(listener.getsockname())
            opened.append(client)
            opened.append(listener.accept()[0])
            return opened[-1], client
        return doors, knock
    yield make
    for sock in opened:
        sock.close()


def test_variables(door):
    doors, knock = door(b'127.:allow,RELAYCLIENT="",TCPLOCALHOST="other"')
    sock, client = knock()
    environ = doors.enter(sock).environ
    found = {name: value for name, value in environ.items() if name.startswith((b"TCP", b"PROTO", b"RELAY"))}
    assert found == {b"PROTO": b"TCP", b"TCPLOCALHOST": b"other", b"TCPLOCALIP": b"127.0.0.1",
                     b"TCPREMOTEIP": b"127.0.0.1",
                     b"TCPLOCALPORT": b"%d" % sock.getsockname()[1], b"TCPREMOTEPORT": b"%d" % client.getsockname()[1],
                     b"RELAYCLIENT": b""}
    assert environ[b"PATH"] == os.environb[b"PATH"]


def test_denied_connection_is_closed_silently(door, capfd):
    doors, knock = door(b"127.:deny", verbose=True)
    sock, client = knock()
    assert doors.enter(sock) is None and client.recv(10) == b""
    lines = capfd.readouterr().err.splitlines()
    assert lines[0] == "smtp: status: 1/5" and lines[1] == f"smtp: pid {os.getpid()}.1 from 127.0.0.1"
    assert lines[2].startswith(f"smtp: deny {os.getpid()}.1 mx.example:127.0.0.1:")
    assert doors.table.enter(1, 0)[1] == 1


def test_broken_rules_admit_nobody(door, tmp_path, capfd):
    doors, knock = door()
    (tmp_path / "rules.cdb").write_bytes(b"short")
    sock, client = knock()
    assert doors.enter(sock) is None
    with pytest.raises(ConnectionResetError):
        client.recv(10)
    assert "dropping connection from 127.0.0.1" in capfd.readouterr().err
    assert doors.table.enter(1, 0)[1] == 1


def test_limit_for_one_address(door, monkeypatch, capfd):
    doors, knock = door()
    first, second = knock()[0], knock()[0]
    assert doors.enter(first) and doors.enter(second)           # loopback is ourselves
    monkeypatch.setattr(gate, "LOOPBACK", ("none",))
    third = knock()[0]
    assert doors.enter(third) is None
    assert "127.0.0.1 has too many connections at once" in capfd.readouterr().err


def test_log_of_a_connection(door, capfd):
    doors, knock = door(verbose=True)
    sock, client = knock()
    doors.leave(doors.enter(sock), 1)
    ports = sock.getsockname()[1], client.getsockname()[1]
    serial = f"{os.getpid()}.1"
    assert capfd.readouterr().err.splitlines()[2:] == [
        f"smtp: ok {serial} mx.example:127.0.0.1:{ports[0]} :127.0.0.1::{ports[1]}",
        f"smtp: end {serial} status 256", "smtp: status: 0/5"]
