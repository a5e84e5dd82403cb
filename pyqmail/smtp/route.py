"""Where a host's mail goes: smtproutes, MX, A and AAAA, and never back to ourselves.

walk() is the whole search as a generator without any I/O. It yields what it needs and is sent the
answer, so a waiting program, an event loop and a test drive the same code:

    Lookup(questions)     questions: [(name, kind), …], independent of each other. Answer: a list, for
                          each question its records (base.dns) or the NotFound or Temporary it raised.
    Connect(address, port)     Answer: None once that host turned out not to be reachable; whoever has a
                          connection simply stops asking.

It ends by raising Unreachable with qmail-remote's report when nothing is left to try. Hosts of one
preference are looked up together, and only when all better ones could not be reached.
Recipients keep the host they have: a CNAME changes where mail goes, not what it says (RFC 5321 5.1).
Source: qmail-remote, dns_mxip and ipme_is as recorded; RFC 5321 5.1, RFC 7505.
"""
from collections import namedtuple

from ..base import control, ipme, number
from ..base.cached import Cached
from ..base.errors import Permanent, Temporary
from . import reports

PORT = 25                           # not from /etc/services, which is for users
ADDRESSES_MAX = 100                 # tried in one delivery, whatever a stranger's zone holds

Lookup = namedtuple("Lookup", "questions")
Connect = namedtuple("Connect", "address port")
Relay = namedtuple("Relay", "host port")


class Unreachable(Exception):
    """Nothing is left to try; `report` says why."""

    def __init__(self, report):
        super().__init__(report)
        self.report = report


def smtproutes():
    """control/smtproutes as {lower-case host or .suffix or b"": value}, kept until the file changes.
    Raises Temporary."""
    return _routes.current()


_routes = Cached(["smtproutes"], lambda: dict(
    parse_route(line) for line in control.lines("smtproutes") or () if b":" in line))


def parse_route(line):
    """(host, relay) of a line `host:relay`, the host in lower case; `[IPv6:…]` may be the host."""
    start = line.find(b"]") + 1 if line.startswith(b"[") else 0
    cut = line.find(b":", start)
    if cut < 0:
        cut = line.find(b":")
    return line[:cut].lower(), line[cut + 1:]


def relay_for(host, routes):
    """The Relay for a host: the exact name, else the longest `.suffix`, else b""; None for the normal way.

    An empty relay in the best match means the normal way too. Raises Temporary for a port that is none.
    """
    host = host.lower()
    suffixes = (host[at:] for at in range(len(host) + 1) if at in (0, len(host)) or host[at:at + 1] == b".")
    value = next((routes[suffix] for suffix in suffixes if suffix in routes), b"")
    return parse_relay(value) if value else None


def parse_relay(value):
    """`host`, `host:port`, `[address]` or `[address]:port`."""
    if value.startswith(b"[") and b"]" in value:
        end = value.index(b"]") + 1
        host, port = value[:end], value[end:].partition(b":")[2]
    else:
        host, _, port = value.partition(b":")
    given = number.leading(port)[0]
    if given is not None and given > 65535:
        raise Temporary("control/smtproutes: no such port")
    return Relay(host, PORT if given is None else given)


def literal(host, bare6=False):
    """The address that `host` is: 192.0.2.1, [192.0.2.1] or [IPv6:2001:db8::1] (RFC 5321 4.1.3); else None.

    bare6: [2001:db8::1] is one too, as it is wherever an administrator writes addresses.
    """
    if not (host.startswith(b"[") and host.endswith(b"]")):
        return ipme.parse4(host)
    inner = host[1:-1]
    if inner[:5].lower() == b"ipv6:":
        return ipme.parse6(inner[5:])
    return ipme.parse(inner) if bare6 else ipme.parse4(inner)


def walk(host, relay, ours):
    """All ways to `host`, best first. relay: from relay_for; ours: our own addresses."""
    if relay:
        yield from _to_relay(relay)
    address = literal(host)
    groups = [[address]] if address else (yield from _exchangers(host))
    yield from _visit(groups, ours)


def _to_relay(relay):
    """A relay is followed even to our own addresses: an administrator said so."""
    address = literal(relay.host, bare6=True)
    if address:
        addresses = [address]
    else:
        (found,) = yield from _addresses([relay.host])
        addresses = _required(found, relay.host)
    for address in addresses[:ADDRESSES_MAX]:
        yield Connect(address, relay.port)
    raise Unreachable(reports.NO_CONNECTION)


def _exchangers(host):
    """Groups of equal preference, best first: lists of host names, or of addresses where MX says nothing."""
    answer, = yield Lookup([(host, "MX")])
    if isinstance(answer, Temporary):
        raise Unreachable(reports.DNS_TROUBLE)
    if isinstance(answer, Permanent) or not answer:
        (found,) = yield from _addresses([host])
        return [_required(found, host)]
    import random                   # 1.3 ms, needed only where there are MX records
    groups = {}
    for preference, name in answer:
        if name:                    # "." is not a host: alone it says that no mail is wanted (RFC 7505)
            groups.setdefault(preference, []).append(name)
    for names in groups.values():
        random.shuffle(names)
    return [groups[preference] for preference in sorted(groups)]


def _visit(groups, ours):
    """Connect to one group after the other, up to the one that we belong to ourselves: from there on
    mail would come back, or go round in circles."""
    tried, trouble, last_word = 0, False, reports.NO_EXCHANGER
    for names in groups:
        answers = yield from _addresses(names)
        trouble |= any(isinstance(found, Temporary) for found in answers)
        addresses = [address for found in answers if isinstance(found, list) for address in found]
        if not ours.isdisjoint(addresses):
            last_word = reports.BEST_PREFERENCE
            break
        for address in addresses[:ADDRESSES_MAX - tried]:
            tried += 1
            yield Connect(address, PORT)
    if tried:
        raise Unreachable(reports.NO_CONNECTION)
    raise Unreachable(reports.DNS_TROUBLE if trouble else last_word)    # only certainty is permanent


def _addresses(names):
    """For each name its addresses, IPv4 first, or the NotFound or Temporary that says why there are none.
    A name that reads as an address is that address: zones do say "MX 10 192.0.2.1"."""
    known = {name: ipme.parse(name) for name in names}
    questions = [(name, kind) for name in names if not known[name] for kind in ("A", "AAAA")]
    answers = dict(zip(questions, (yield Lookup(questions)) if questions else ()))
    return [[known[name]] if known[name] else _both(answers[name, "A"], answers[name, "AAAA"]) for name in names]


def _both(four, six):
    found = [address for answer in (four, six) if isinstance(answer, list) for address in answer]
    if found:
        return found
    for answer in (four, six):
        if isinstance(answer, Temporary):
            return answer
    return found if isinstance(four, list) or isinstance(six, list) else four


def _required(found, host):
    if isinstance(found, Temporary):
        raise Unreachable(reports.DNS_TROUBLE)
    if isinstance(found, Permanent):
        raise Unreachable(reports.no_such_host(host))
    if not found:
        raise Unreachable(reports.NO_EXCHANGER)
    return found
