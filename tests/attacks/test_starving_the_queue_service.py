"""One who asks the queue service for everything at once, or sends it rubbish, gets no more than his share."""
import contextlib
import os
import socket
import subprocess

import pytest

pytestmark = [pytest.mark.root, pytest.mark.system]

HOLD = """
import socket, sys, time
held = []
for _ in range(400):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.connect(sys.argv[1])
    held.append(sock)
print("held", flush=True)
sys.stdin.read()
"""


def test_a_stranger_holds_all_he_can(system, person):
    """Hundreds of idle connections of one user keep nobody else's mail out."""
    path = f"{system.home}/run/qmail-queue/socket"
    holding = subprocess.Popen(["runuser", "-u", "nobody", "--", "/usr/bin/python3", "-c", HOLD, path],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holding.stdout.readline() == b"held\n"
        done = subprocess.run(["runuser", "-u", person.name, "--", f"{system.home}/bin/sendmail", person.name],
                              input=b"Subject: through\n\nx\n", capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")
        system.wait(person.messages)
    finally:
        holding.stdin.close()
        holding.stdout.close()
        holding.wait(60)


def test_rubbish_leaves_no_descriptor_and_no_file(system, person):
    path = f"{system.home}/run/qmail-queue/socket"
    before = os.listdir(f"{system.home}/queue/pid")
    for packet, fds in ((b"", 0), (b"QQ1", 0), (b"QQ1", 1), (b"QQ1", 30), (b"x" * 60_000, 2), (b"QQ1", 2)):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock, contextlib.suppress(OSError):
            sock.connect(path)
            null = [os.open("/dev/null", os.O_RDONLY) for _ in range(fds)]
            try:
                socket.send_fds(sock, [packet], null)
            finally:
                for fd in null:
                    os.close(fd)
            sock.settimeout(60)
            sock.recv(10)
    done = subprocess.run(["runuser", "-u", person.name, "--", f"{system.home}/bin/sendmail", person.name],
                          input=b"Subject: x\n\nx\n", capture_output=True)
    assert done.returncode == 0
    system.wait(person.messages)
    assert os.listdir(f"{system.home}/queue/pid") == before
