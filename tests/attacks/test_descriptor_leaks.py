"""Descriptors and processes after a lot of mail, and after many clients that broke off: as many as before."""
import contextlib
import os
import poplib
import smtplib
import socket
import subprocess
import threading

import pytest

pytestmark = pytest.mark.root
TRIES = 6                           # a leak grows each time; a connection that is kept, a worker that starts, does not


class Refuser:
    """A mail server that refuses everything: what goes there bounces at once."""

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()
        return self

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                with client, client.makefile("rb") as lines:
                    for reply in (b"220 hello\r\n", b"250 ok\r\n", b"554 go away\r\n", b"221 bye\r\n"):
                        client.sendall(reply)
                        lines.readline()
            except OSError:
                pass                # it did not wait for the last word

    def __exit__(self, *_):
        self.listener.close()


def processes(system):
    """{pid: open descriptors} of everything that runs from this home, but for qmail-lspawn's warm processes and
    its sockets to them, which come and go (tests/spawn counts those)."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                words = f.read()
            if os.fsencode(system.home) + b"/bin/" in words:
                with open(f"/proc/{pid}/status", encoding="ascii") as f:
                    uid = next(int(line.split()[2]) for line in f if line.startswith("Uid:"))
                spawner = b"/qmail-lspawn" in words
                if uid == 0 or not spawner:
                    held = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
                    found[int(pid)] = sum(not spawner or "socket:" not in name for name in held)
        except OSError:
            pass                    # it ended just now
    return found


def describe(pid, before):
    """What a process is and holds, for the one who has to find out."""
    with open(f"/proc/{pid}/cmdline", "rb") as f:
        words = f.read().replace(b"\0", b" ").decode()
    held = sorted(os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd"))
    return f"{pid} {words}: {before.get(pid)} before, now {held}\n"


def load(system, person, rounds):
    """Mail of every fate, and clients of every kind."""
    for number in range(rounds):
        with smtplib.SMTP("127.0.0.1", system.smtp) as smtp:
            for recipient in (f"{person.name}@localhost", "bouncing@localhost", f"x@refused{number}.example"):
                try:
                    smtp.sendmail(f"{person.name}@localhost", [recipient], "Subject: x\r\n\r\nbody\r\n")
                except smtplib.SMTPRecipientsRefused:
                    assert recipient.startswith("nosuchuser")
    for say in (b"", b"EHLO x\r\n", b"MAIL FROM:<a@b>\r\nRCPT TO:<x@localhost>\r\nDATA\r\n", b"\n.\n" * 9, b"x" * 9000):
        for _ in range(rounds):
            with socket.create_connection(("127.0.0.1", system.smtp), 60) as client:
                client.sendall(say)
                client.recv(100)
    for _ in range(rounds):
        mailbox = poplib.POP3("127.0.0.1", system.pop3, timeout=60)
        mailbox.user(person.name)
        mailbox.pass_(person.password)
        mailbox.stat()
        mailbox.quit()
        for say in (b"", b"USER x\r\n", b"USER x\r\nPASS y\r\n", b"\0" * 500):
            with socket.create_connection(("127.0.0.1", system.pop3), 60) as client:
                client.sendall(say)
                client.recv(100)
        for packet in (b"", b"QQ1", b"rubbish"):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
                client.connect(f"{system.home}/run/qmail-queue/socket")
                with contextlib.suppress(PermissionError):      # since Linux 6.16
                    socket.send_fds(client, [packet], [0, 1, 2])
    try:
        system.wait(lambda: "messages in queue: 0\n" in queue(system), 60)
    except AssertionError:
        raise AssertionError(queue(system) + system.log()) from None


def queue(system):
    return subprocess.run([f"{system.home}/bin/qmail-qstat"], capture_output=True, text=True, check=True).stdout


def test_as_many_as_before(system, person):
    with Refuser() as refuser:
        with open(f"{system.home}/control/smtproutes", "w", encoding="ascii") as f:
            f.writelines(f"refused{number}.example:127.0.0.1:{refuser.port}\n" for number in range(50))
        with open(f"{system.home}/alias/.qmail-bouncing", "w", encoding="ascii") as f:
            f.write("|exit 100\n")         # an address that SMTP takes
        try:
            for _ in range(TRIES):
                before = processes(system)
                load(system, person, 12)

                def more():
                    """What is there now and was not before; what has ended since is no leak."""
                    return {pid: count for pid, count in processes(system).items() if before.get(pid, 0) < count}
                try:
                    system.wait(lambda: not more(), 20)
                    break
                except AssertionError:
                    grown = "".join(describe(pid, before) for pid in more())
            else:
                raise AssertionError(grown)
            assert len(set(before) & set(processes(system))) > 10
        finally:
            os.unlink(f"{system.home}/control/smtproutes")
            os.unlink(f"{system.home}/alias/.qmail-bouncing")
    assert sum(b"body" in message for message in person.messages()) >= 15
