"""A farm: a host without a queue and three QMQP servers in network namespaces of their own, some of them cut off.

Addresses: server N is 10.211.N.2, the client reaches it from 10.211.N.1.
"""
import os
import re
import signal
import subprocess

import pytest

from tests.qmtp.conftest import until

pytestmark = pytest.mark.root
SERVERS = (1, 2, 3)


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Farm:
    def __init__(self, host):
        self.mark = f"pq{os.getpid() % 100_000}"
        self.spaces = []
        self.new_host, self.hosts = host, {}

    def space(self, which):
        return f"{self.mark}{which}"

    def build(self):
        for which in ("c", *SERVERS):
            ip("netns", "add", self.space(which))
            self.spaces.append(self.space(which))
            ip("-n", self.space(which), "link", "set", "lo", "up")
        for number in SERVERS:
            here, there = f"{self.mark}v{number}", f"{self.mark}w{number}"
            ip("link", "add", here, "netns", self.space("c"), "type", "veth", "peer", "name", there, "netns",
               self.space(number))
            for space, device, address in (("c", here, 1), (number, there, 2)):
                ip("-n", self.space(space), "address", "add", f"10.211.{number}.{address}/24", "dev", device)
                ip("-n", self.space(space), "link", "set", device, "up")
        self.client = self.new_host(self.within("c"))
        self.client.control(me="client.example", qmqpservers="\n".join(f"10.211.{number}.2" for number in SERVERS))
        os.unlink(f"{self.client.home}/bin/qmail-queue")
        os.symlink("qmail-qmqpc", f"{self.client.home}/bin/qmail-queue")
        for number in SERVERS:
            self.hosts[number] = self.serve(number)
        return self

    def within(self, which):
        return ["ip", "netns", "exec", self.space(which)]

    def serve(self, number):
        server = self.new_host(self.within(number)).queue()
        server.control(me=f"server{number}.example", qmqplisten=f"10.211.{number}.2:628")
        server.rules("tcp.qmqp", "10.211.:allow\n:deny\n")
        server.daemon = server.start("qmail-qmqpd", "--listen")
        until(lambda: b":628" in subprocess.run([*server.within, "ss", "-ltnH"], capture_output=True).stdout)
        return server

    def pull_the_plug(self, number):
        """The client's end of the line to a server goes down."""
        ip("-n", self.space("c"), "link", "set", f"{self.mark}v{number}", "down")

    def silence(self, number):
        """The server hears the client, but not the client the server."""
        ip("-n", self.space(number), "route", "del", f"10.211.{number}.0/24")

    def inject(self, *subjects, halfway=lambda: None):
        """{subject: exit code} of programs that send at the same time. halfway() is called when half of them
        have their whole message."""
        running = {}
        for subject in subjects:
            running[subject] = self.client.start("qmail-inject", "r@far.test", stdin=subprocess.PIPE,
                                                 stderr=subprocess.PIPE)
        for subject, process in running.items():
            process.stdin.write(b"Subject: %b.\n\n" % subject + b"a line of text\n" * 5000)
        for number, process in enumerate(running.values()):
            if number == len(running) // 2:
                halfway()
            process.stdin.close()
        return {subject: process.wait(100) for subject, process in running.items()}

    def subjects(self, number):
        return [re.search(rb"^Subject: (.*)\.$", message, re.M)[1] for message in self.hosts[number].queued()]

    def end(self):
        for space in self.spaces:
            subprocess.run(["ip", "netns", "delete", space], capture_output=True)


@pytest.fixture
def farm(host):
    made = Farm(host)
    try:
        try:
            ip("netns", "add", made.space("x"))
            made.spaces.append(made.space("x"))
            subprocess.run([*made.within("x"), "ss", "-ltnH"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("no network namespaces here, or no iproute2")
        yield made.build()
    finally:
        made.end()


def test_the_first_server_gets_all(farm):
    assert farm.inject(b"a", b"b", b"c") == {b"a": 0, b"b": 0, b"c": 0}
    assert [sorted(farm.subjects(number)) for number in SERVERS] == [[b"a", b"b", b"c"], [], []]


def test_two_cut_off(farm):
    """One does not answer, one is unreachable: the third takes over."""
    farm.silence(1)
    farm.pull_the_plug(2)
    assert farm.inject(b"a", b"b") == {b"a": 0, b"b": 0}
    assert [sorted(farm.subjects(number)) for number in SERVERS] == [[], [], [b"a", b"b"]]


def test_servers_going_down_under_load(farm):
    """Whatever was accepted is queued exactly once; what was not, at most once."""
    codes = {}
    for wave in range(3):
        subjects = [b"%d-%d" % (wave, n) for n in range(8)]
        codes |= farm.inject(*subjects, halfway=lambda wave=wave: kill(farm.hosts[wave + 1]) if wave < 2 else None)
    queued = [subject for number in SERVERS for subject in farm.subjects(number)]
    assert all(queued.count(subject) == 1 for subject, code in codes.items() if code == 0)
    assert all(queued.count(subject) <= 1 for subject in codes)
    assert all(codes[b"2-%d" % n] == 0 for n in range(8)) and set(farm.subjects(3)) >= {b"2-%d" % n for n in range(8)}


def kill(server):
    """The QMQP server dies, its sessions with it."""
    with open(f"/proc/{server.daemon.pid}/task/{server.daemon.pid}/children") as f:
        workers = [int(word) for word in f.read().split()]
    for pid in (server.daemon.pid, *workers):
        os.kill(pid, signal.SIGKILL)


def test_a_client_that_is_not_allowed_goes_nowhere(farm):
    for number in SERVERS:
        farm.hosts[number].rules("tcp.qmqp", ":deny\n")
    done = subprocess.run(farm.client.command("qmail-queue"), input=b"", stdout=subprocess.DEVNULL)
    assert done.returncode == 91 or done.returncode == 54
    process = farm.client.start("qmail-inject", "r@far.test", stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    _, said = process.communicate(b"Subject: x.\n\n")
    assert process.returncode == 111 and b"communication with mail server failed (#4.4.2)" in said
    assert not any(farm.subjects(number) for number in SERVERS)
