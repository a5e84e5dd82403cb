"""Targets that are files, packets and texts: what one end writes the other reads, whatever stands there is understood
or refused in the documented way, and cutting it into pieces changes nothing."""
import os
import socket
import types
from unittest import mock

from pyqmail.auth import checkpassword, hashes      # noqa: F401  loaded here, so that they are instrumented
from pyqmail.base import (address, cdb, cdb_edit, control, date, dns, endpoint, header, ident, ipme, maildirsize, mbox,
                          number, options, passing, pidfile, rcpthosts, tcprules)
from pyqmail.base.errors import Permanent, Temporary
from pyqmail.delivery import command, dotqmail, environment, loop
from pyqmail.imap import settings, wire as imap
from pyqmail.inject import injection, message, rewrite, tokens, addresses
from pyqmail.pop3 import authenticator, handover
from pyqmail.programs import maildir2mbox, qmail_qmqpc, qreceipt, qsmhook, splogger
from pyqmail.queue import client, envelope, insert, scan, suspects, wire as queue
from pyqmail.rcptcheck import wire as rcptcheck
from pyqmail.send import bounce
from pyqmail.send import rewrite as routing
from pyqmail.smtp import grammar, reports, route, tcpto
from pyqmail.spawn import ending, orders, resolver, warm, wire as spawn
from pyqmail.users import assign, codes, lookup
from pyqmail.vpopmail import (account, daemon_access, daemon_files, database_url, hashdirs, limits, names, quotas,
                              recipient, roaming)
from pyqmail.vpopmail.errors import Refused

from . import models
from .reading import Input, pieces


def refused(kinds, function, *arguments):
    """function(*arguments), or None if it raises one of `kinds`."""
    try:
        return function(*arguments)
    except kinds:
        return None


def words_of(given, count):
    return [given.line() for _ in range(count)]


# ---------------------------------------------------------------- addresses and headers

def addresses_quoted(data):
    """quote() gives what one line holds, and the SMTP server's unquoting gives the address back."""
    given = data.replace(b"\0", b"")
    shown = address.quote(given)
    if b"\n" not in given and b"\r" not in given:
        if b"@" in given:
            box, host = address.split(given)
            if host.strip(address.ATOMS) == b"" and b">" not in host:
                assert grammar.address(b"FROM:<%b>" % shown) == (given if not shown.startswith(b"@") else given)
        else:
            assert grammar.address(b"FROM:<%b>" % shown) == given
    assert b"\n" not in environment.return_path(data)[:-1] and b"\n" not in bounce.in_header(data)
    assert b"\r" not in bounce.in_header(data)
    assert b" " not in environment.from_line(data, 0)[5:-26]


def smtp_grammar(data):
    argument = data.partition(b"\0")[0].replace(b"\n", b"")
    assert grammar.address(argument) == models.smtp_address(argument)
    assert len(grammar.address(argument)) <= len(argument)
    found = grammar.literal(data)
    assert found is None or data.endswith(b"[%b]" % found)


def inject_header(data):
    """qmail-inject's reading of a header: refused, or a header that reads back as the same fields, each one field."""
    given = Input(data)
    seed, bits, text = given.byte(), given.byte(), given.rest()
    identity = types.SimpleNamespace(
        deleted=frozenset(), user=b"joe user", host=b"a.example" if bits & 1 else None, full_name=b"Joe (x) \"User\"",
        name_in_comment=bool(bits & 2), per_recipient=bool(bits & 4), per_message=bool(bits & 8), sender_user=b"joe",
        sender_host=None, user_needs_quotes=lambda: True)
    completer = rewrite.Completer(b"d.example", b"dom.example", b"plus.example")

    def build(source):
        draft = message.Draft(identity, completer, message.Stamp(1_795_338_307, 4711, b"id.example"))
        parts = iter(source)
        got = header.Message(lambda: next(parts, b""))
        for field in got.fields():
            draft.add(field)
        body = b"".join(got.body())
        return draft.header(), draft.sender(), draft.recipients(), body
    try:
        made, sender, recipients, body = build(pieces(text, seed))
    except Permanent:
        return
    assert len(made) < 20 * len(text) + 10_000
    assert all(b"\0" not in each for each in (sender, *recipients))
    if b"\\\n" in text + b"\n":   # qmail's own: a header can be made to end there, nothing can be added to it
        return
    assert made.endswith(b"\n") and b"\n\n" not in made
    again, _, recipients_again, body_again = build([made + (body or b"\n")])
    assert body_again == (body or b"\n"), (made, body, body_again)
    hidden = any(header.name(line) in (b"bcc", b"resent-bcc") for line in text.split(b"\n"))
    hidden = hidden or any(each.endswith((b".", b"+")) for each in recipients)      # one of them is taken off each time
    if not hidden and b"\0" not in text and b"\\" not in text:
        assert sorted(filter(None, recipients_again)) == sorted(filter(None, recipients)), (made, recipients)


def header_fields(data):
    """The fields and the body are the message, whatever the pieces; a field is a field."""
    given = Input(data)
    seed, text = given.byte(), given.rest()

    def read(source):
        parts = iter(source)
        got = header.Message(lambda: next(parts, b""), 4096)
        return list(got.fields()), b"".join(got.body())
    found = refused(header.HeaderTooLong, read, pieces(text, seed))
    whole = refused(header.HeaderTooLong, read, pieces(text, 0))
    assert found == whole, (found, whole)
    if found:
        fields, body = found
        for field in fields:
            assert field.endswith(b"\n") and header.name(field)
            assert all(line[:1] in b" \t" and line for line in field[:-1].split(b"\n")[1:])
            header.contents(field)
        joined = b"".join(fields).replace(header.MBOX_LINE, b"") + body     # an empty line, a last LF are put in
        assert header.MBOX_LINE in text or joined.replace(b"\n", b"") == text.replace(b"\n", b"")
    head, empty, _ = (b"\n" + text).partition(b"\n\n")
    line = b"Delivered-To: a@b\n"
    assert loop.has_line(line, pieces(text, seed)) == (b"\n" + line in head + empty[:1])


def address_lists(data):
    """Tokens and address lists: Unparsable, or addresses that survive being written and read again."""
    data = data.replace(b"\n", b"\n ")       # as fields have it
    found = refused(tokens.Unparsable, tokens.read, data)
    if found is None:
        refused(Permanent, qreceipt.named, b"X: " + data)
        return
    written = tokens.write([*found]) if found else b"\n"
    assert len(written) <= 4 * len(data) + 100
    if b"\\" not in data and b"\0" not in data:
        assert tokens.read(written) == found, (found, written)
    taken = []
    listed = refused(tokens.Unparsable, addresses.rewrite_list, found, lambda each: taken.append(list(each)) or each)
    if listed is not None:
        again = []
        assert addresses.rewrite_list(listed, lambda each: again.append(list(each)) or each) == listed
        assert again == taken
    completer = rewrite.Completer(b"d.example", b"dom.example", b"plus.example")
    for each in taken:
        complete = completer.complete(each)
        assert b"\n" not in tokens.plain(complete) or b"\n" in data or not complete
    refused(Permanent, completer.complete_argument, data.replace(b"\0", b""))
    refused(Permanent, injection.complete, completer, data)


# ---------------------------------------------------------------- the queue

def envelope_in(data):
    """Descriptor 1 of qmail-queue: the model's records and its exit code, however the bytes come."""
    given = Input(data)
    seed, stream = given.byte(), given.rest()
    found, code = [], None
    reader, parts = insert.Records(), filter(None, pieces(stream, seed))
    try:
        while not reader.done:
            found.append(reader.feed(next(parts, b"")))
    except insert.Refused as why:
        code = why.code
    records, wanted = models.envelope(stream)
    assert code == wanted, (code, wanted)
    if wanted is None:
        assert b"".join(found) == b"".join(record + b"\0" for record in records)
        sender, *others = (record[1:] for record in records)
        assert b"".join(client.envelope(sender, others)) == stream[:len(b"".join(found)) + 1]


def envelope_files(data):
    """info, local, remote and todo: complete records only, at the offsets where they are."""
    given = Input(data)
    seed, stream = given.byte(), given.rest()
    reader, writer = os.pipe()
    try:
        os.write(writer, stream[:60_000])
        os.close(writer)
        found = list(envelope.records(reader, 1 + seed))
    finally:
        os.close(reader)
    assert [record for _, record in found] == stream[:60_000].split(b"\0")[:-1]
    assert all(stream[offset:offset + len(record) + 1] == record + b"\0" for offset, record in found)


def queue_request(data):
    """The first packet to the queue service begins a message in pieces, or is a whole one, or nothing. The answer is two
    numbers."""
    packet = data[:100]
    found = queue.request(packet)
    if found and found[1] is not None:
        as_pid, text, envelope_ = found
        assert queue.whole(text, envelope_, as_pid) == packet
    else:
        assert (found is not None) == (packet in (queue.PIECES, queue.PIECES_AS_PID))
        assert found is None or found == (packet == queue.PIECES_AS_PID, None, None)
    code, number = queue.receive_answer(types.SimpleNamespace(recv=lambda size: packet[:size]))
    assert type(code) is int and type(number) is int
    assert type(client.answer(code & 255)) is bytes


def queue_names(data):
    """File names in the queue, and the file of suspects."""
    name = data.partition(b"\n")[0]
    found = scan.number(name)
    assert found is None or 0 <= found < 1 << 64
    for directory in range(23):
        placed = scan.in_place(directory, name)
        assert placed is None or b"%d" % placed == name and placed % 23 == directory
    with open("suspects", "wb") as f:
        f.write(data)
    file = suspects.File(os.getcwd())
    try:
        entries = file.read()
        suspects.set_aside(entries)
        kept = file.change(lambda entries: entries | {("loop", 1): (2, 3)})
        assert file.read() == kept
    finally:
        os.close(file.fd)


def orders_and_reports(data):
    """qmail-send's orders and the spawners' reports: the same records, however they come; bounded; checked."""
    given = Input(data)
    seed, width, stream = given.byte(), 1 + given.byte() % 2, given.rest()
    for reader in (spawn.OrderReader, spawn.ReportReader):
        one, many = reader(width), reader(width)
        found = [each for part in pieces(stream, seed) for each in many.feed(part)]
        assert found == one.feed(stream)
    for each in spawn.OrderReader(width).feed(stream):
        assert spawn.OrderReader(width).feed(spawn.order(*each[:4], width)) == [each]
        try:
            orders.check(each, 120, {3})
        except orders.Refused as why:
            assert why.report[:1] in b"ZD" and why.report.endswith(b"\n")
        else:
            assert each.messid.replace(b"/", b"").isdigit() or not each.messid.strip(b"/")
            assert b"@" in each.recipient and each.delnum < 120 and each.delnum != 3
    output = ending.Output()
    for part in pieces(stream, seed):
        output.add(part)
    assert len(output.text()) <= ending.OUTPUT_MAX and b"\0" not in output.text()
    assert ending.report(seed, output.text())[:1] in b"KZD"
    code, _, handed, text = warm.understood(stream)
    assert 0 <= code < 1000 and not (handed and text) and stream.endswith(text)


def remote_output(data):
    """qmail-rspawn's report on whatever a qmail-remote wrote: one letter, then text; success only if it said K."""
    given = Input(data)
    status, text = given.byte() % 4, given.rest()
    code = (0, 0, 111, -9)[status]
    report = reports.ended(code, text)
    assert report[:1] in (b"K", b"Z", b"D") and b"\0" not in report[1:]
    if report[:1] == b"K":
        assert code == 0 and any(record[:1] == b"K" for record in text.split(b"\0"))
        assert text[:1] not in (b"s", b"h")


def bounce_text(data):
    """A failure is one paragraph of bounce/N, whose only empty line is its end."""
    given = Input(data)
    recipient, report = given.line(), given.rest()
    text = bounce.paragraph(recipient, report)
    assert text.startswith(b"<" + recipient + b">:\n") and text.endswith(b"\n\n")
    assert b"\n\n" not in text.rstrip(b"\n")
    assert len(text) <= len(recipient) + len(report) + 8


def recipients_routed(data):
    """Where mail goes: a channel, an address with a host; taking the prefix off gives people their address."""
    virtual = {b"v.example": b"v", b".v.example": b"sub", b"x@z.example": b"xz", b"e.example": b""}
    where = routing.Routing(frozenset({b"l.example"}), frozenset({b"h.example"}), virtual, b"n.example")
    channel, found = where.route(data)
    assert channel in ("local", "remote") and b"@" in found
    assert where.route(data) == (channel, found)
    if channel == "remote":
        assert where.route(found)[1] == found
    where.without_prefix(found)
    assert len(found) <= len(data) + 20
    expanded = routing.verp(data, b"joe@r.example")
    assert expanded == data or expanded.count(b"joe=r.example@")
    routing.without_verp(data)


def resolver_words(data):
    """Answers of a look-up process, users' fields: a Controller that is nobody's root, or Undecided."""
    found = resolver.understood(data)
    assert found is None or isinstance(found, (bytes, codes.Undecided))
    try:
        who = lookup.controller(data)
    except codes.Undecided as why:
        assert why.code in (codes.BUG, codes.ROOT)
    else:
        assert 0 < who.uid <= lookup.HIGHEST_ID and 0 <= who.gid <= lookup.HIGHEST_ID


# ---------------------------------------------------------------- administrators' files

def control_files(data):
    with open("control/fuzzed", "wb") as f:
        f.write(data)
    line = control.line("fuzzed")
    assert b"\n" not in line and not line.endswith((b" ", b"\t"))
    assert control.number("fuzzed", 7) >= 0
    found = control.lines("fuzzed")
    assert all(b"\n" not in each and b"\0" not in each for each in found)
    assert len(b"".join(found)) <= len(data)
    control.mapping(found)
    routes = dict(route.parse_route(each) for each in found if b":" in each)
    for host in (b"a.example", b"x.b.example", b"[192.0.2.1]", b""):
        relay = refused(Temporary, route.relay_for, host, routes)
        assert relay is None or 0 <= relay.port <= 65535
    for each in found:
        refused(ValueError, endpoint.parse, os.fsdecode(each))
        parsed = qmail_qmqpc.parse(each)
        assert parsed is None or ipme.parse(parsed) == parsed
    refused(Temporary, lambda: settings.Settings({**settings.NAMES, **settings.assignments(data)}))


def ip_addresses(data):
    """A canonical form is its own canonical form, and the system takes it."""
    for parse in (ipme.parse, ipme.parse4, ipme.parse6, lambda text: route.literal(text, bare6=True)):
        found = parse(data)
        if found is not None:
            assert ipme.parse(found) == found
            socket.inet_pton(socket.AF_INET6 if b":" in found else socket.AF_INET, found.decode())
    client_ip = roaming.network_client(data)
    assert client_ip is None or roaming.network_client(client_ip) == client_ip
    for host in (data, data.lower()):
        suffixes = list(rcpthosts.suffixes(host))
        assert len(suffixes) <= len(host) + 1 and all(host.endswith(each) for each in suffixes)


def rules(data):
    """tcprules: a line that cannot be understood is refused; look-ups find what the source says."""
    records = refused(Permanent, lambda: list(tcprules.compile_rules(data)))
    if records is None:
        return
    assert len(records) <= 256 * (data.count(b"\n") + 1)
    for _, packed in records:
        allowed, variables = tcprules.unpack(packed)
        assert type(allowed) is bool and all(type(each) is bytes for each in variables.values())
    for client_ip in (b"192.0.2.7", b"2001:db8::1"):
        keys = list(tcprules.addresses(client_ip, b"host.example", b"joe"))
        assert keys[-1] == b"" and len(keys) < 30


def users_assign(data):
    """users/assign: BadFormat, or records that look-ups take."""
    records = refused(assign.BadFormat, assign.records, data)
    if records is None:
        return
    table = {}
    for key, value in records:
        table.setdefault(key, value)
    for local in (b"joe", b"joe-list", b"Ann", data[:40]):
        try:
            fields = lookup.find(table, local)
            if fields is not None:
                assert lookup.controller(fields).uid > 0
        except codes.Undecided:
            pass


def databases(data):
    """A database that was written reads back; one whose bytes were changed is read or refused, alike by all readers."""
    given = Input(data)
    changes = [(given.byte() << 8 | given.byte(), given.byte()) for _ in range(given.byte() % 6)]
    entries = [given.line().partition(b"=")[::2] for _ in range(1 + given.byte() % 12)]
    fd = os.open("fuzzed.cdb", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        cdb.write(fd, entries)
        table = {}
        for key, value in entries:
            table.setdefault(key, value)
        size, reader = os.fstat(fd).st_size, cdb.Reader(fd)
        for key, value in table.items():
            assert reader.get(key) == cdb.find("fuzzed.cdb", key) == value
        added = cdb_edit.Editor(fd).append(b"added", b"value") if b"added" not in table else None
        if added:
            cdb_edit.Editor(fd).fill(added)
            assert cdb.find("fuzzed.cdb", b"added") == b"value"
        for place, byte in changes:
            os.pwrite(fd, bytes((byte,)), place % size)
        if given.flag():
            os.ftruncate(fd, (given.byte() << 8 | given.byte()) % (size + 1))
        reader = refused(Temporary, cdb.Reader, fd)
        for key in (*table, b"added", b"nothing"):
            one = refused(Temporary, reader.get, key) if reader else None
            other = refused(Temporary, cdb.find, "fuzzed.cdb", key)
            assert one is None or other is None or one == other
            for value in (one, other):
                assert value is None or len(value) <= size + 100
        refused(Temporary, lambda: cdb_edit.Editor(fd).change(b"added", b"other"))
        refused(Temporary, lambda: cdb_edit.Editor(fd).add_with_room(b"more", b"other"))
    finally:
        os.close(fd)


def tcpto_table(data):
    """queue/lock/tcpto: 64 records at most, which write as they read."""
    records = tcpto.parse(data)
    assert len(records) <= 64
    for record in records:
        assert tcpto.parse(tcpto.encode(record)) == [record]
        tcpto.to_skip(records, record.address, 1_795_338_307, 31)
    host = b"192.0.2.1"
    for change in (tcpto.after_timeout(records, host, 1_795_338_307), tcpto.after_answer(records, host)):
        if change:
            index, record = change
            assert index < len(records) and record.count <= tcpto.COUNT_MAX + 255
            tcpto.encode(record)


# ---------------------------------------------------------------- mailboxes

def dot_qmail(data):
    """.qmail: instructions in their order, or Temporary when a line is not allowed; names never leave the home."""
    given = Input(data)
    forward_only, ext, text = given.flag(), given.line(), given.rest()
    found = []
    try:
        for kind, argument in dotqmail.lines(dotqmail.end_line(text), forward_only):
            assert kind in (b"mbox", b"maildir", b"program", b"forward") and b"\n" not in argument
            assert not forward_only or kind == b"forward"
            found.append(kind)
    except Temporary:
        pass
    assert len(found) <= text.count(b"\n") + 1
    if b"/" not in ext and b"\0" not in ext:
        for name, _ in dotqmail.names(b"-", ext):
            assert name.startswith(b".qmail-") and b"/" not in name and b".." not in name
    for action_of in (recipient.last_word, command.own_vdelivermail):
        with mock.patch.object(recipient, "of_user", lambda *known: known):
            said = refused(Temporary, recipient.by_instructions, dotqmail.Instructions(dotqmail.end_line(text),
                           forward_only), ext, b"a.example", 5, action_of)
        assert said is None or said is recipient.KNOWN or b"vdelivermail" in text and said[2] in text
    for line in (text.split(b"\n")):
        daemon_access.parameter(line)
    if daemon_files.harmless(text.split(b"\n")):
        assert not any(line.startswith((b"|", b"/")) for line in text.split(b"\n"))


def mbox_quoting(data):
    """What is appended to an mbox comes out of it as it was, and is one message."""
    given = Input(data)
    seed, text = given.byte(), given.rest()
    stored = b"".join(mbox.quoted(iter(pieces(text, seed))))
    assert stored == b"".join(mbox.quoted(iter([text])))
    wanted = text if text.endswith(b"\n") or not text else text + b"\n"
    assert models.mbox_messages(b"From a b\n" + stored + b"From a b\n" + stored) == [wanted, wanted]
    line = b"From %b %b\n" % (maildir2mbox.sender(text), date.from_line(0))
    assert line.count(b"\n") == 1


def maildir_sizes(data):
    """maildirsize, quotas, file names with sizes and flags."""
    found = maildirsize.sum_of(data)
    assert found is None or found.lines > 0
    quota = maildirsize.parse(data.partition(b"\n")[0])
    assert quota.bytes >= 0 and quota.count >= 0
    name = data.partition(b"\n")[0].replace(b"/", b"").replace(b"\0", b"")[:255]
    size = maildirsize.size_in(name)
    assert size is None or size >= 0
    counted = maildirsize.Usage()
    maildirsize.add_message(counted, types.SimpleNamespace(name=name, stat=lambda: types.SimpleNamespace(st_size=5)))
    assert counted.count in (1, 2) or counted.count == 0
    stored = refused(Refused, quotas.normal, name)
    if stored is not None:
        assert quotas.normal(stored) == stored
        understood = maildirsize.parse(stored)
        for each in stored.split(b","):
            value, kind = each[:-1], each[-1:]
            if kind in (b"S", b"C") and len(value) <= 18:
                assert {b"S": understood.bytes, b"C": understood.count}[kind] == int(value)


def vpasswd_lines(data):
    """An account that is written reads back as it is; what cannot is refused; any line reads."""
    given = Input(data)
    name, hashed, uidfield, flag, comment, directory, quota, clear = (
        given.line(), given.line(), given.byte(), given.byte(), *words_of(given, 3), given.rest())
    made = account.Account(name, hashed, uidfield, flag, comment, directory, quota, clear)
    text = refused(Refused, account.line, made)
    if text is not None:
        made.comment = comment.replace(b":", b"")
        assert account.parse(*account.split(text)) == made
        assert b"\n" not in text and account.name_of(text) == name
        assert account.changed(text, lambda stored: None, True) == text
    for line in data.split(b"\n"):
        read = account.parse(*account.split(line))
        again = refused(Refused, account.line, read)
        assert again is None or account.parse(*account.split(again)) == read or b":" in read.clear + read.comment
    account.damaged(data)
    if hashdirs.valid(name):
        assert hashdirs.valid(hashdirs.after(name)) and len(hashdirs.indices(name)) == 3


def domain_limits(data):
    """.qmailadmin-limits and vlimits.default: what is written reads back."""
    found = limits.parse(data)
    again = limits.parse(limits.form(found))
    assert again.numbers == found.numbers and again.flags == found.flags
    maildirsize.parse(found.default_quota())


def mail_names(data):
    """Names of mail users: lower case, allowed characters, or BadName. The database's URL: a URL, or Temporary."""
    try:
        user, domain = names.parse(data)
    except names.BadName as why:
        assert why.line
    else:
        assert user == user.lower() and not user.strip(names.USER_CHARACTERS)
        assert not domain.strip(names.DOMAIN_CHARACTERS) and b"/" not in domain and b"\0" not in user
    url = refused(Temporary, database_url.from_vpopmail, data.partition(b"\n")[0])
    assert url is None or url.startswith("postgresql://") and url.isascii()
    roaming.when(data)


# ---------------------------------------------------------------- other protocols

def checkpassword_input(data):
    login = refused(checkpassword.Misused, checkpassword.decode, data)
    if login:
        name, secret = login
        assert b"\0" not in name + secret
        assert checkpassword.decode(checkpassword.encode(name, secret, b"<stamp>")) == login
    assert all(32 <= ord(each) <= 126 for each in authenticator.quoted(data))
    sending, receiving = passing.pair()
    ours, theirs = socket.socketpair()
    with sending, receiving, ours, theirs:
        passing.send(sending, ours, data[:5000] or b"x")
        found = handover.receive(receiving)
        if found:
            with found[0]:
                assert all(b"\0" not in each for each in found[1:])


def authdaemon_requests(data):
    """authdaemond: what came completely does not change with what comes after it, and travels between our processes as
    it is."""
    request = refused(imap.Malformed, imap.parse, data)
    packed = refused(imap.Malformed, request.packed) if request else None
    if packed is not None:
        assert imap.unpacked(packed) == request
        assert len(request.words) == imap.WORDS[request.kind] and all(b"\n" not in each for each in request.words[:1])
        assert imap.parse(data + b"more\n") == request
        first = next(end for end in range(len(data) + 1) if refused(imap.Malformed, imap.parse, data[:end]) is not None)
        assert imap.parse(data[:first]) == request
    refused(imap.Malformed, imap.unpacked, data)
    answer = imap.attributes([(b"A", data), (b"B", b"x")])
    assert answer.endswith(b"B=x\n.\n") and answer.count(b"\n") <= 3
    imap.options(255, data)


def rcptcheck_packets(data):
    """Questions, orders and answers of the recipient check: understood as they were meant, or not at all."""
    question = rcptcheck.read_question(data)
    if question:
        assert rcptcheck.read_question(rcptcheck.question(*question)) == question
        assert 1 <= len(question[2]) <= rcptcheck.BATCH
    found = rcptcheck.read_answer(data)
    if found:
        assert found[1] and all(rcptcheck.valid(each) for each in found[1])
        assert rcptcheck.read_answer(rcptcheck.answer(*found)) == found
        for each in found[1]:
            room = rcptcheck.room(each)
            assert room is None or room >= 0
            rcptcheck.tight(each, 5)
    order = rcptcheck.read_order(data)
    if order:
        assert rcptcheck.read_order(rcptcheck.order(*order)) == order


def log_lines(data):
    """splogger: printable pieces of bounded length, whatever the pieces they came in."""
    given = Input(data)
    seed, text = given.byte(), given.rest() * (1 + given.byte() % 2)

    def read(parts):
        lines = splogger.Lines()
        return [each for part in parts for each in lines.feed(part)] + list(lines.end())
    found = read(pieces(text, seed))
    assert found == read([text])
    for piece, _ in found:
        assert 0 < len(piece) <= splogger.PIECE and all(32 <= byte <= 126 for byte in piece)


def options_and_words(data):
    """Command lines of programs that strangers' words get into: BadOption, or words; ident's answers."""
    argv = data.split(b"\n")
    given = options.Options(argv, b"aAf:nx:")
    try:
        for letter, value in given:
            assert letter in b"aAfnx" and (value is None) == (letter in b"aAn")
        assert len(given.rest) <= len(argv)
    except options.BadOption as why:
        assert b"--" in why.line
    found = ident.name(data)
    assert len(found) <= ident.LONGEST and b"\0" not in found and b"\n" not in found
    meanings = {b"g": b"S", b"h": b"H", b"u": b"U", b"%": b"%"}
    for word in argv:
        assert len(qsmhook.expand(word, meanings)) <= len(word)
    value, rest = number.leading(data)
    assert value is None or value >= 0 and data.endswith(rest)
    assert 0 <= number.unsigned(data) <= number.WORD
    os.makedirs("run", exist_ok=True)
    with open(pidfile.place("fuzzed"), "wb") as f:
        f.write(data)
    found = pidfile.running("fuzzed")
    assert found is None or found.start == pidfile.start_time(found.pid)


def dns_names(data):
    """A name of any bytes is a question that DNS can carry, or NotFound."""
    name = refused(dns.NotFound, dns._wire_name, data)
    if name is not None:
        assert len(name.to_wire()) <= 255


def dns_routes(data):
    """Whatever answers strangers' zones hold: a bounded walk that ends in Unreachable and never goes to ourselves."""
    given = Input(data)
    host, tried = given.line(), 0
    steps = route.walk(host, None, frozenset((b"192.0.2.99", b"2001:db8::99")))
    answer = None
    for _ in range(1000):
        try:
            step = steps.send(answer)
        except route.Unreachable as why:
            assert why.report[:1] in b"ZD" and why.report.endswith(b"\n")
            assert all(byte in b"\n" or 32 <= byte <= 126 for byte in why.report)
            return
        if isinstance(step, route.Lookup):
            answer = [zone(given, kind) for _, kind in step.questions]
        else:
            tried += 1
            assert step.address not in (b"192.0.2.99", b"2001:db8::99") and step.port == 25
            assert tried <= route.ADDRESSES_MAX or ipme.parse(host)
            answer = None
    raise AssertionError("a walk without an end")


def zone(given, kind):
    """An answer made of the input."""
    choice = given.byte()
    if choice % 8 == 0:
        return Temporary("timeout")
    if choice % 8 == 1:
        return dns.NotFound("no such name")
    if kind == "MX":
        return [(given.byte(), given.line()) for _ in range(choice % 5)]
    form = b"192.0.2.%d" if kind == "A" else b"2001:db8::%x"
    return [form % (given.byte() % 120) for _ in range(choice % 6)]
