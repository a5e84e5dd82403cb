#!/usr/bin/env python3
"""QMQP through one server and through two.

    benchmarks/qmqp_farm.py --home QMAILHOME [--messages 2000] [--clients 20] [--rounds 3]

Starts QMQP servers (qmail-qmqpd --listen), each with a queue and a queue service of its own, on this machine, and
sends messages of 2,000 bytes from processes that make a connection for each message, as qmail-qmqpc does.
With two servers, half of the clients have the one first in their list, half the other. Measures until
the last message has been accepted, which means that it is on the disk. Both servers share this machine's processors
and disk, so two say what a second server costs here; on two machines it is what they gain. --home: an
installation whose code and libraries are used. Needs root and qmail's users.
"""
import argparse
import os
import pwd
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

MESSAGE = b"Subject: benchmark\n\n" + b"x" * 79 + b"\n" + b"y" * 79 + b"\n"
MESSAGE += b"z" * (2000 - len(MESSAGE) - 1) + b"\n"


def netstring(data):
    return b"%d:%b," % (len(data), data)


PACKET = netstring(netstring(MESSAGE) + netstring(b"sender@client.example") + netstring(b"joe@far.example"))


class Server:
    """A home with a queue, its queue service and a QMQP server at `port` of 127.0.0.1."""

    def __init__(self, source):
        self.home = tempfile.mkdtemp(prefix="qmqp-farm.", dir=os.path.dirname(source))
        os.chmod(self.home, 0o755)
        shutil.copytree(f"{source}/bin", f"{self.home}/bin")
        for name in ("pyqmail", "venv"):
            os.symlink(os.path.realpath(f"{source}/{name}"), f"{self.home}/{name}")
        for name in ("control", "run/qmail-queue", "queue/pid", "queue/intd", "queue/todo", "queue/lock",
                     *(f"queue/mess/{number}" for number in range(23))):
            os.makedirs(f"{self.home}/{name}")
        role = pwd.getpwnam("qmailq")
        for top in ("queue", "run/qmail-queue"):
            for place, _, _ in os.walk(f"{self.home}/{top}"):
                os.chown(place, role.pw_uid, role.pw_gid)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        for name, text in (("me", "server.example"), ("qmqplisten", f"127.0.0.1:{self.port}"),
                           ("concurrencyperip", "0")):
            with open(f"{self.home}/control/{name}", "w", encoding="ascii") as f:
                f.write(text + "\n")
        subprocess.run([f"{self.home}/bin/tcprules", f"{self.home}/control/tcp.qmqp.cdb", f"{self.home}/control/tmp"],
                       input=b"127.:allow\n:deny\n", check=True)
        self.running = [subprocess.Popen([f"{self.home}/bin/qmail-queue", "--service"]),
                        subprocess.Popen([f"{self.home}/bin/qmail-qmqpd", "--listen"])]
        while send(self.port) != b"K":
            time.sleep(0.05)

    def end(self):
        for process in self.running:
            process.terminate()
        for process in self.running:
            process.wait()
        shutil.rmtree(self.home)


def send(port):
    """Hand over one message; the first letter of the answer, b"" if there is no server."""
    try:
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(PACKET)
            return sock.recv(1000).partition(b":")[2][:1]
    except ConnectionError:
        return b""


def client(ports, messages):
    """A process that sends messages; each to the first server that takes the connection."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        status = 0 if all(any(send(port) == b"K" for port in ports) for _ in range(messages)) else 1
    finally:
        os._exit(status)


def measure(ports, messages, clients):
    """Messages a second."""
    each = messages // clients
    start = time.monotonic()
    pids = [client(ports[number % len(ports):] + ports[:number % len(ports)], each) for number in range(clients)]
    if any(os.waitpid(pid, 0)[1] for pid in pids):
        sys.exit("a message was not accepted")
    return each * clients / (time.monotonic() - start)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", required=True)
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    servers = []
    try:
        servers = [Server(os.path.realpath(options.home)) for _ in range(2)]
        rates = {1: [], 2: []}
        for _ in range(options.rounds):
            for count, found in rates.items():
                found.append(measure([server.port for server in servers[:count]], options.messages, options.clients))
                print(f"{count} server{'s' * (count > 1)}: {found[-1]:.0f} messages/s", flush=True)
        print("median: " + ", ".join(f"{count}: {statistics.median(found):.0f}/s" for count, found in rates.items()))
    finally:
        for server in servers:
            server.end()


if __name__ == "__main__":
    main()
