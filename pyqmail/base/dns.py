"""DNS for mail: what is at a name, told apart from "nothing" and "cannot be known now".

The only module that imports dnspython, and only when a question is really asked (50 ms): a route
to an IP address needs none. Questions carry EDNS with a 1232-byte limit, large answers are fetched
over TCP; of an answer at most RECORDS_MAX records count, however many a stranger's zone has.
/etc/resolv.conf is read again when it changes; without it a name server on this machine is asked.

    kind      records
    MX        (preference, host): host as bytes without final dot, b"" for the root (RFC 7505)
    A, AAAA   address, in the form of base.ipme
    PTR       host as bytes without final dot, odd bytes escaped (\\DDD)

Raises NotFound when the name, or anything of this kind, does not exist; Temporary for everything
else. An answer of aliases that lead nowhere is an empty list: the name exists, as qmail sees it.
"""
import os
import sys
import time

from . import filemark, ipme
from .errors import Permanent, Temporary
from .without import Without

RECORDS_MAX = 100
NAME_MAX = 253                      # RFC 1035 2.3.4: 255 on the wire, with the first length and the root
EDNS_PAYLOAD = 1232                 # bytes: fits every path without fragments
ATTEMPT, LIFETIME = 4.0, 20.0       # s for one server, for one question at all servers
CACHE = 20_000                      # answers
KEPT_TIME = 300                     # s, at most, that an event loop has records at hand without the library
CONCURRENT = 200                    # questions on the wire at once
RESOLV_CONF = "/etc/resolv.conf"
PLACES = ("/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager")    # where it is a link to, on many machines


class NotFound(Permanent):
    """No such name, or nothing of this kind is there."""


class _Configured:
    """Two resolvers made from resolv.conf, with EDNS and, for servers that refuse it, without."""

    def __init__(self, path=RESOLV_CONF):
        self._path, self._mark, self._cache = path, None, None

    def resolvers(self):
        """(with EDNS, without)."""
        now = filemark.of(self._path)
        if now != self._mark:
            self._pair = self._make(True), self._make(False)
            self._mark = now
        return self._pair

    def _make(self, edns):
        _load()
        import dns.resolver
        if self._cache is None:
            self._cache = dns.resolver.LRUCache(CACHE)
        resolver = self.make()
        try:
            resolver.read_resolv_conf(self._path)
        except Exception:           # absent, or nothing usable in it: resolv.conf(5) says what then
            resolver.nameservers = ["127.0.0.1"]
        resolver.cache = self._cache
        resolver.timeout, resolver.lifetime = min(resolver.timeout, ATTEMPT), LIFETIME
        resolver.use_edns(0 if edns else False, 0, EDNS_PAYLOAD)
        return resolver


class Resolver(_Configured):
    """For a program that waits for each answer."""

    @staticmethod
    def make():
        import dns.resolver
        return dns.resolver.Resolver(configure=False)

    def candidates(self, name):
        """What a name typed by a person may stand for, in the order in which to try: resolv.conf(5) says
        which domains complete it."""
        configured = self.resolvers()[0]
        domains = [b".".join(domain.labels[:-1]) for domain in configured.search or [configured.domain]]
        completed = [b"%b.%b" % (name, domain) for domain in domains if domain]
        return [name, *completed] if b"." in name else [*completed, name]

    def lookup(self, name, kind):
        """The records of `kind` at `name`."""
        try:
            wanted = _wire_name(name)
            with_edns, without = self.resolvers()
            try:
                answer = with_edns.resolve(wanted, kind, raise_on_no_answer=False, search=False)
            except Exception as why:
                if not _refuses_edns(why):
                    raise
                answer = without.resolve(wanted, kind, raise_on_no_answer=False, search=False)
            return _records(answer, kind)
        except Exception as why:
            raise _sorted(why, name, kind) from why


class AsyncResolver(_Configured):
    """For an event loop: the same, and equal questions that are under way are asked once."""

    def __init__(self, path=RESOLV_CONF):
        super().__init__(path)
        import asyncio              # whoever makes one of these has it already
        self._asyncio = asyncio
        self._running = {}
        self._known = {}            # (name, kind) -> (end of its time, records or None for NotFound), the oldest first
        self._room = asyncio.Semaphore(CONCURRENT)

    @staticmethod
    def make():
        import dns.asyncresolver
        return dns.asyncresolver.Resolver(configure=False)

    def warm(self):
        """Import everything that the first question needs. Without dnspython nothing happens: each
        question says so then."""
        try:
            _load()
            import dns.asyncbackend
            import dns.rdata
            self.resolvers()
            dns.asyncbackend.get_default_backend()
            for kind in ("A", "AAAA", "MX", "CNAME", "SOA"):
                dns.rdata.get_rdata_class(dns.rdataclass.IN, dns.rdatatype.from_text(kind))
        except ImportError:
            pass

    def known(self, name, kind):
        """What lookup() gives, or the NotFound that it raises, as far as that is known already; else None."""
        end, records = self._known.get((name.lower(), kind), (0, None))
        if time.monotonic() >= end:
            return None
        return NotFound("no such name, or nothing of this kind") if records is None else records

    def _learn(self, name, kind, records, answer):
        """Remember records as long as they hold (answer.expiration is a time of the wall clock), KEPT_TIME at most."""
        hold = min(answer.expiration - time.time(), KEPT_TIME)
        if hold > 0:
            self._known.pop((name.lower(), kind), None)
            self._known[name.lower(), kind] = time.monotonic() + hold, records
            if len(self._known) > CACHE:
                del self._known[next(iter(self._known))]

    async def lookup(self, name, kind):
        """The records of `kind` at `name`."""
        known = self.known(name, kind)
        if isinstance(known, NotFound):
            raise known
        if known is not None:
            return known
        key = name.lower(), kind
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = self._asyncio.ensure_future(self._ask(name, kind))
            task.add_done_callback(lambda done: (self._running.pop(key, None), done.cancelled() or done.exception()))
        return await self._asyncio.shield(task)

    async def _ask(self, name, kind):
        try:
            wanted = _wire_name(name)
            with_edns, without = self.resolvers()
            async with self._room:
                try:
                    answer = await with_edns.resolve(wanted, kind, raise_on_no_answer=False, search=False)
                except Exception as why:
                    if not _refuses_edns(why):
                        raise
                    answer = await without.resolve(wanted, kind, raise_on_no_answer=False, search=False)
            try:
                records = _records(answer, kind)
            except NotFound:
                if answer.response.authority:           # an SOA says how long; without one nobody does
                    self._learn(name, kind, None, answer)
                raise
            self._learn(name, kind, records, answer)
            return records
        except Exception as why:
            raise _sorted(why, name, kind) from why


def _load():
    """Import dnspython, 50 ms: see the head of this module. Raises ImportError.

    It asks for the versions of packages that would give it features which nobody uses here (DNS over HTTPS, DNSSEC):
    what that takes, importlib.metadata and `email` with it, would be another 14 ms and 3 MB. A module without
    an answer is as good: features whose version cannot be told are not there.
    """
    if "dns.resolver" in sys.modules:
        return
    name = "importlib.metadata"
    known = name in sys.modules
    if not known:
        sys.modules[name] = type(sys)(name)
    try:
        with Without("ssl"):
            import dns.resolver     # noqa: F401
    finally:
        if not known:
            del sys.modules[name]


def _wire_name(name):
    """A dnspython name of these bytes: labels between dots, any byte but a dot in them."""
    _load()
    import dns.name
    labels = name.split(b".") if name else []
    if labels and not labels[-1]:
        labels.pop()
    if len(b".".join(labels)) > NAME_MAX or not all(0 < len(label) <= 63 for label in labels):
        raise NotFound("no name at all")
    return dns.name.Name([*labels, b""])


def _records(answer, kind):
    if answer.rrset is None:
        if answer.response.answer:
            return []
        raise NotFound("nothing of this kind")
    if kind == "MX":
        found = ((record.preference, b".".join(record.exchange.labels[:-1])) for record in answer.rrset)
        return sorted(found, key=lambda record: record[0])[:RECORDS_MAX]
    if kind == "PTR":
        return [record.target.to_text(omit_final_dot=True).encode() for record in answer.rrset][:RECORDS_MAX]
    found = (ipme.parse(record.address.encode()) for record in answer.rrset)
    return [address for address in found if address][:RECORDS_MAX]


def _refuses_edns(why):
    """True if a server knew no better than to call an EDNS question malformed (RFC 6891 7)."""
    import dns.resolver
    if not isinstance(why, dns.resolver.NoNameservers):
        return False
    return any(error[3] in ("FORMERR", "NOTIMP") for error in why.kwargs.get("errors", ()))


def _sorted(why, name, kind):
    """The exception as one of ours: only a server that says so makes a name absent."""
    if isinstance(why, (NotFound, Temporary)):
        return why
    if type(why).__name__ == "NXDOMAIN":
        return NotFound("no such name")
    return Temporary(f"{kind} of {os.fsdecode(name)[:NAME_MAX]!r}: {type(why).__name__}: {why}"[:500])
