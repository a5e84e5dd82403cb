"""Targets of what tells who somebody is: DNS's answers, the environment of a connection and of a user."""
import importlib
import types

from pyqmail.base import dns, header, ipme, received, tcprules
from pyqmail.base.errors import Permanent, Temporary
from pyqmail.inject import environment, message, rewrite
from pyqmail.smtp import route

from .reading import Input

KINDS = ("MX", "A", "AAAA", "PTR")
WORDS = (b"TCPREMOTEIP", b"TCPREMOTEHOST", b"TCPREMOTEINFO", b"TCPLOCALHOST", b"RELAYCLIENT", b"DATABYTES")
USERS = (b"QMAILUSER", b"QMAILHOST", b"QMAILNAME", b"QMAILSUSER", b"QMAILSHOST", b"QMAILINJECT", b"USER", b"MAILHOST")


def dns_answers(data):
    """The records of an answer, of any bytes a name may have: a bounded list in the documented form, whose hosts can
    be asked for or are NotFound."""
    dns._load()
    rdata, internet, types_ = (importlib.import_module(f"dns.{name}") for name in ("rdata", "rdataclass", "rdatatype"))
    given = Input(data)
    kind, answered, count = KINDS[given.byte() % 4], given.flag(), given.byte() % 130
    number, rrset = types_.from_text(kind), []
    size = {"A": 4, "AAAA": 16}.get(kind)
    for _ in range(count):
        wire = given.line()
        try:
            rrset.append(rdata.from_wire(internet.IN, number, wire, 0, size or len(wire)))
        except Exception:               # the library's business
            break
    answer = types.SimpleNamespace(rrset=rrset or None, response=types.SimpleNamespace(answer=answered))
    try:
        found = dns._records(answer, kind)
    except dns.NotFound:
        assert not rrset and not answered
        return
    assert len(found) <= dns.RECORDS_MAX
    if kind == "MX":
        assert found == sorted(found, key=lambda record: record[0]) and all(type(host) is bytes for _, host in found)
        asked(found)
    elif kind == "PTR":
        assert all(name and not name.strip(bytes(range(33, 127))) for name in found), found
        for name in found:
            assert not received.safe(name).strip(received.SAFE + b"?")
            list(tcprules.addresses(b"192.0.2.1", name.lower()))
    else:
        assert all(ipme.parse(each) == each for each in found)


def asked(exchangers):
    """Route to what these MX records say."""
    steps = route.walk(b"far.example", None, frozenset())
    answer = None
    try:
        while True:
            step = steps.send(answer)
            if not isinstance(step, route.Lookup):
                answer = None
                continue
            answer = []
            for name, kind in step.questions:
                try:
                    if name:
                        dns._wire_name(name)
                    answer.append(exchangers if kind == "MX" else [b"192.0.2.1" if kind == "A" else b"2001:db8::1"])
                except dns.NotFound as why:
                    answer.append(why)
    except route.Unreachable as why:
        assert all(byte in b"\n" or 32 <= byte <= 126 for byte in why.report)


def surroundings(data):
    """A connection's environment and HELO: Received is two lines of harmless words, rules are looked up by keys that
    hold nothing else; a compiled rule of any bytes is a verdict and variables."""
    given = Input(data)
    bits, helo = given.byte(), given.line()
    environ = {name: given.line().replace(b"\0", b"") for at, name in enumerate(WORDS) if bits >> at & 1}
    client = received.Client(environ)
    line = received.received(b"SMTP", client, helo if bits & 64 else None, 1_795_338_307)
    first, second, end = line.split(b"\n")
    assert first.startswith(b"Received: from ") and second.startswith(b"  by ") and not end
    assert not line.strip(received.SAFE + b"?();\n ") and first.count(b"(") == first.count(b")") == 1 + bool(bits & 64)
    assert client.databytes is None or client.databytes >= 0
    keys = list(tcprules.addresses(b"192.0.2.7", environ.get(b"TCPREMOTEHOST"), environ.get(b"TCPREMOTEINFO")))
    assert keys[-1] == b"" and b"192.0.2.7" in keys
    allowed, variables = tcprules.unpack(given.rest())
    assert type(allowed) is bool and all(b"\0" not in name + value for name, value in variables.items())


def user_environment(data):
    """The variables of qmail-inject: a header whose fields are ours and the message's, From and sender as they say;
    or Permanent."""
    given = Input(data)
    bits = given.byte()
    environ = {name: given.line().replace(b"\0", b"").replace(b"~", b"\n") for at, name in enumerate(USERS)
               if bits >> at & 1}
    who = environment.Identity(environ)
    completer = rewrite.Completer(b"d.example", b"dom.example", b"plus.example")
    draft = message.Draft(who, completer, message.Stamp(1_795_338_307, 4711, b"id.example"))
    parts = iter((b"To: a@b.example\nSubject: x\n\n", given.rest()))
    read = header.Message(lambda: next(parts, b""))
    try:
        for field in read.fields():
            draft.add(field)
        sender, made = draft.sender(), draft.header()
    except (Permanent, Temporary):
        return
    assert b"\0" not in sender and made.endswith(b"\n") and draft.recipients() == [b"a@b.example"]
    if not any(b"\n" in value for value in environ.values()):
        parts = iter((made + b"\n",))
        again = header.Message(lambda: next(parts, b""))
        found = [header.name(field) for field in again.fields()]
        assert found == [b"date", b"message-id", b"from", b"to", b"subject"], (found, made)
        assert b"".join(again.body()) in (b"", b"\n")
