"""What one end writes, the other reads, II: files that others may edit, and packets between our processes."""
import ipaddress
import os
import socket
import tempfile
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from pyqmail.auth import checkpassword, failures, hashes, poppasswd
from pyqmail.base import cdb, home as qmail, maildir, maildirsize, netio, pidfile, tcprules
from pyqmail.imap import asking
from pyqmail.pop3 import handover
from pyqmail.programs import tcp_env
from pyqmail.queue import wire
from pyqmail.send import rewrite
from pyqmail.smtp import client
from pyqmail.spawn import warm
from pyqmail.vpopmail import assign, domains, files, hashdirs, home, ipmap, lists, roaming, sql, valias
from pyqmail.vpopmail.account import Account
from pyqmail.vpopmail.errors import Refused

from . import models
from .sessions import Driver, product_client, product_policy, smtp

FEW = settings(max_examples=40, deadline=None)
BYTES = st.binary(max_size=40)
WORD = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=12).map(str.encode)
HOST = st.lists(WORD, min_size=2, max_size=4).map(b".".join)
FIELD = BYTES.map(lambda text: text.translate(None, b":\n\0"))
NUMBER = st.integers(0, 2**32 - 1)
IPS = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))
ADDRESSES = IPS.map(lambda ip: roaming.network_client(str(ip).encode()))
SECONDS = st.integers(1, 2**40)


class place:
    """with place() as directory: a VPOPHOME and QMAILHOME of its own, for one example."""

    def __enter__(self):
        self._directory = tempfile.TemporaryDirectory()
        found = os.fsencode(self._directory.name)
        known = {"account": (found, os.getuid(), os.getgid()), "options": dict(home.OPTIONS), "mark": None, "looked": 0}
        self._patches = [mock.patch.object(home, "_known", known), mock.patch.object(qmail, "HOME", os.fsdecode(found)),
                         mock.patch("os.fsync")]
        for each in self._patches:
            each.start()
        self._before = os.getcwd()
        os.chdir(found)
        return found

    def __exit__(self, *problem):
        os.chdir(self._before)
        for each in self._patches:
            each.stop()
        self._directory.cleanup()


# ---------------------------------------------------------------- packets

@given(BYTES, BYTES, st.booleans())
@FEW
def test_whole_messages(text, envelope, as_pid):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.send(wire.whole(text, envelope, as_pid))
        assert wire.request(netio.Packets(wire.ROOM).receive(theirs)) == (as_pid, text, envelope)


@given(BYTES, BYTES, st.booleans(), st.integers(0, 255), NUMBER)
@FEW
def test_messages_in_pieces_and_answers(text, envelope, as_pid, code, qp):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs, mock.patch.object(wire, "PACKET", 7):
        wire.begin(ours, as_pid)
        wire.send_all(ours, wire.TEXT, text)
        wire.send_all(ours, wire.ENVELOPE, envelope)
        ours.shutdown(socket.SHUT_WR)
        packets = netio.Packets(wire.ROOM)
        assert wire.request(packets.receive(theirs)) == (as_pid, None, None)
        pieces = list(iter(lambda: packets.receive(theirs), b""))
        assert max(map(len, pieces), default=0) <= 8
        for kind, sent in ((wire.TEXT, text), (wire.ENVELOPE, envelope)):
            assert b"".join(piece[1:] for piece in pieces if piece[:1] == kind) == sent
        wire.send_answer(theirs, code, qp)
        assert wire.receive_answer(ours) == (code, qp)


def test_a_message_that_is_too_large_for_a_packet():
    largest = b"x" * (wire.PACKET - wire.HEAD)
    assert wire.whole(largest + b"x", b"") is None and wire.request(wire.whole(largest, b"")) == (False, largest, b"")


@given(st.integers(0, 255), st.booleans(), BYTES)
@FEW
def test_answers_of_warm_processes(code, spent, text):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        theirs.send(b"%d %d %d %b" % (code, spent, False, text))
        assert warm.understood(warm.receive(ours)) == (code, spent, False, text)


@given(BYTES, BYTES, BYTES)
@FEW
def test_logins(name, secret, stamp):
    name, secret, stamp = (word.replace(b"\0", b"") for word in (name, secret, stamp))
    packet = checkpassword.encode(name, secret, stamp)
    assert checkpassword.decode(packet) == (name, secret)
    sending, receiving = handover.pair()
    connection, other = socket.socketpair()
    with sending, receiving, connection, other:
        handover.send(sending, connection, packet)
        got, *words = handover.receive(receiving)
        with got:
            got.send(b"hi")
        assert words == [name, secret, stamp] and other.recv(9) == b"hi"


@given(st.lists(BYTES, min_size=5, max_size=5), st.integers(0, 2**31))
@FEW
def test_what_is_told_of_an_account(words, held):
    domain = assign.Domain(b"a.example", b"a.example", 5, 6, b"/d")
    address, comment, directory, quota, means = words
    packet = asking.packed(asking.KNOWN, address, comment, directory, quota, b"%d" % held, means)
    kind, *fields = packet.split(b"\0")
    found = asking.Found(domain, fields)
    assert kind == asking.KNOWN and (found.uid, found.gid, found.flags) == (5, 6, held)
    assert [found.address, found.comment, found.home, found.quota, found.means] == [
        word.replace(b"\0", b"?") for word in words]


@given(st.lists(st.binary(max_size=60).map(lambda line: line.translate(None, b"\n")), max_size=12))
@FEW
def test_replies_of_our_server_as_our_client_reads_them(lines):
    policy = models.Policy(relay=None, check=None, accept=lambda number: b"Dqq " + b"no\n" * number + b"(#5.3.0)")
    driver = Driver(smtp.Session(product_policy(policy), product_client(policy)), smtp, policy)
    driver.run([b"".join(line + b"\r\n" for line in lines)])
    reader, found = client.ReplyReader(), []
    reader.feed(driver.replies)
    while reply := reader.next_reply():
        found.append(reply)
    assert not reader.ahead and [code for code, _ in found] == [code for code, _ in models.smtp_replies(driver.replies)]
    assert b"".join(text for _, text in found) == driver.replies.replace(b"\r", b"")


# ---------------------------------------------------------------- names and addresses

@given(IPS)
@FEW
def test_names_of_addresses_in_dns(ip):
    assert tcp_env.reverse(str(ip)) == ipaddress.ip_address(ip).reverse_pointer.encode()


@given(WORD, HOST, WORD, HOST)
@FEW
def test_verp(box, host, recipient, domain):
    sender = b"%b-@%b-@[]" % (box, host)
    expanded = rewrite.verp(sender, recipient + b"@" + domain)
    assert expanded == b"%b-%b=%b@%b" % (box, recipient, domain, host)
    assert rewrite.without_verp(sender) == b"%b-@%b" % (box, host) and rewrite.without_verp(expanded) == expanded


@given(WORD, HOST, WORD)
@FEW
def test_virtual_domains(box, domain, prefix):
    routing = rewrite.Routing(frozenset(), virtualdomains={domain: prefix})
    channel, address = routing.route(box + b"@" + domain)
    assert channel == "local" and address == b"%b-%b@%b" % (prefix, box, domain)
    assert routing.without_prefix(address) == box + b"@" + domain


def test_names_of_copies(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    maildir.make(b"Maildir")
    root = maildir.enter(b"Maildir")
    copy = maildir.Copy(maildir.named(b"5.6"), repeat=True)
    names = [maildir.deliver(root, (b"text",), suffix=b",S=4", copy=copy) for _ in range(3)]
    assert len(set(names)) == 1 and maildirsize.size_in(names[0]) == 4 and os.listdir(b"Maildir/new") == names[:1]
    os.close(root)


# ---------------------------------------------------------------- files

VARIABLES = st.dictionaries(st.from_regex(r"[A-Z][A-Z0-9_]{0,8}", fullmatch=True).map(str.encode),
                            BYTES.map(lambda value: value.translate(None, b'"\n\0')), max_size=4)


@given(st.dictionaries(ADDRESSES, st.tuples(st.booleans(), VARIABLES), max_size=6))
@FEW
def test_tcprules(table):
    source = b"".join(b"%b:%b%b\n" % (ip, b"allow" if allowed else b"deny",
                                      b"".join(b',%b="%b"' % each for each in variables.items()))
                      for ip, (allowed, variables) in table.items())
    fd = os.memfd_create("test")
    try:
        cdb.write(fd, tcprules.compile_rules(source))
        rules = tcprules.Rules(f"/proc/self/fd/{fd}")
        for ip, meant in table.items():
            assert rules.find(ip) == meant
        assert rules.find(b"203.0.113.254")[1] == {} or b"203.0.113.254" in table
    finally:
        os.close(fd)


@given(st.lists(st.tuples(ADDRESSES, HOST), max_size=6))
@FEW
def test_addresses_of_domains(pairs):
    with place() as directory:
        os.mkdir(directory + b"/etc")
        for pair in pairs:
            ipmap.add(*pair)
        last = dict.fromkeys(reversed(pairs))
        assert ipmap.entries() == list(reversed(last))
        for pair in pairs:
            ipmap.delete(*pair)
        assert ipmap.entries() == []


@given(st.lists(st.tuples(ADDRESSES, SECONDS), min_size=1, max_size=8))
@FEW
def test_roaming_users(logins):
    with place() as directory:
        os.mkdir(directory + b"/etc")
        for ip, now in logins:
            roaming.enter(ip, now)
        lines = files.read(roaming.table()).split(b"\n")[:-1]
        assert len(lines) == len({ip for ip, _ in logins})
        ip, now = logins[-1]
        assert roaming.of(lines[-1], ip) and 0 <= now - roaming.when(lines[-1]) < roaming.FRESH


@given(st.integers(0, 10**9), st.integers(0, 3), st.data())
@FEW
def test_directories_of_a_hundred(count, levels, data):
    steps = data.draw(st.lists(st.sampled_from(list(hashdirs.NAMES)), min_size=levels, max_size=levels))
    where = b"/".join(bytes((step,)) for step in steps)
    with place():
        hashdirs.FILE.write(count, where)
        assert hashdirs.FILE.read() == (count, where)
        hashdirs.FILE.write(count + 1, hashdirs.after(where))
        assert hashdirs.FILE.read() == (count + 1, hashdirs.after(where)) and hashdirs.valid(hashdirs.after(where))


def test_directories_come_in_order_and_once():
    found, seen = b"", []
    for _ in range(62 + 62 ** 2 + 100):
        found = hashdirs.after(found)
        seen.append(found)
    assert len(set(seen)) == len(seen) and seen[:2] == [b"0", b"1"] and seen[62] == b"0/0" and seen[-1].count(b"/") == 2


@given(st.lists(st.tuples(WORD, BYTES.map(lambda line: line.translate(None, b"\n\0") or b"x")), max_size=6))
@FEW
def test_aliases(lines):
    with place() as directory:
        domain = assign.Domain(b"a.example", b"a.example", os.getuid(), os.getgid(), directory)
        for user, line in lines:
            valias.insert(domain, user, line)
        users = {user for user, _ in lines}
        assert valias.users(domain) == sorted(users - {valias.DEFAULT})
        for user in users:
            wanted = dict.fromkeys(line for other, line in lines if other == user)
            assert valias.lines(domain, user) == list(wanted)


@given(st.dictionaries(HOST, st.tuples(HOST, NUMBER, NUMBER, FIELD), max_size=6))
@FEW
def test_domains_in_assign(table):
    with place() as directory:
        os.mkdir(directory + b"/users")
        for name, (real, uid, gid, where) in table.items():
            domain = assign.Domain(name, real, min(uid, assign.LARGEST_ID), min(gid, assign.LARGEST_ID), b"/" + where)
            with lists.Assign() as found:
                found.insert(domains.assign_line(name, domain))
        for name, (real, uid, gid, where) in table.items():
            for found in (assign.find(name), next(each for each in assign.everyone() if each.name == name)):
                assert (found.real, found.directory) == (real, (b"/" + where).rstrip(b"/") or b"/")
                assert (found.uid, found.gid) == (min(uid, assign.LARGEST_ID), min(gid, assign.LARGEST_ID))


@given(st.lists(st.tuples(st.integers(-10**12, 10**12), st.integers(-50, 50)), max_size=10))
@FEW
def test_sums_of_quotas(changes):
    with place() as directory:
        maildir.make(directory + b"/Maildir")
        maildirsize.recount(directory + b"/Maildir", b"5000S")
        for size, count in changes:
            maildirsize.add(directory + b"/Maildir", b"5000S", size, count)
        text, usage, _ = maildirsize.read(directory + b"/Maildir")
        assert text == b"5000S" and usage.lines == len(changes) + 1
        assert (usage.bytes, usage.count) == tuple(map(sum, zip((0, 0), *changes)))


@given(st.lists(st.tuples(st.binary(min_size=8, max_size=8), NUMBER, NUMBER), min_size=failures.ENTRIES,
                max_size=failures.ENTRIES))
@FEW
def test_failed_logins(entries):
    assert failures.unpack(failures.pack(entries)) == entries


@given(FIELD, BYTES.map(lambda text: text.translate(None, b":\n\0")))
@settings(max_examples=5, deadline=None)
def test_passwords_of_a_private_home(name, password):
    name, password = name or b"joe", password or b"x"
    with place() as directory:
        file = os.fsdecode(directory + b"/poppasswd")
        poppasswd.put(b"other", b"y", file)
        poppasswd.put(name, password, file)
        assert hashes.matches(password, poppasswd.find(name, os.getuid(), file))
        assert not hashes.matches(password + b"z", poppasswd.find(name, os.getuid(), file))


def test_who_plays_a_part():
    with place() as directory:
        os.mkdir(directory + b"/run")
        pidfile.note("send", os.getpid())
        found = pidfile.running("send")
        assert found.pid == os.getpid() and found.start == pidfile.start_time(os.getpid())
        with open(pidfile.place("send"), "w", encoding="ascii") as f:
            f.write(f"{os.getpid()} 1\n")
        assert pidfile.running("send") is None


TEXT = st.one_of(st.text(max_size=20).map(lambda text: text.encode("utf-8", "replace")), BYTES)


@given(st.lists(TEXT, min_size=6, max_size=6), NUMBER, NUMBER)
@FEW
def test_accounts_as_rows(words, uidfield, flags):
    """What no column can hold is refused; a comment has no colon, as in vpasswd."""
    name, hashed, comment, directory, quota, clear = words
    made = Account(name, hashed, uidfield, flags, comment.replace(b":", b""), directory, quota, clear)
    try:
        row = sql.row_of(made)
    except Refused:
        return
    assert sql.account_of(row.values()) == made
