"""qmail-config: make the first control files.

    qmail-config                    from this machine's name and the DNS (qmail's config)
    qmail-config HOST               for the fully qualified name HOST (qmail's config-fast)

Makes control/me, defaultdomain, plusdomain, locals and rcpthosts, those that are not there: a file that an
administrator wrote stays as it is. With HOST, nothing is looked up, and locals and rcpthosts are HOST. Without,
HOST is the name of the first address of this machine's name, and locals and rcpthosts are the names of
all addresses of this machine. Says what it does.

Exit codes: 0 done; 111 the machine's name or its name in the DNS cannot be found, or a file not written.

**Security**: run by root. What the DNS says becomes configuration: look at it, above all on a network
whose name servers belong to others. Source: config and config-fast of qmail's distribution.
"""
import os

from ..base import dns, errors, home, ipme, netio
from ..base.errors import Temporary, text
from ..install import settings
from .dnsfq import NoAddresses, fully_qualified
from .dnsip import addresses
from .dnsptr import name_of

NAMED = bytes(range(33, 127))       # bytes of a host name that can stand in a control file


def main(argv):
    os.umask(0o022)
    resolver = dns.Resolver()
    if argv:
        host = argv[0]
        say(b"Your fully qualified host name is %b." % host)
    else:
        host = find(os.fsencode(os.uname().nodename).lower())
    if not host or host.translate(None, NAMED):
        raise errors.Permanent(f"{os.fsdecode(host)!r} is no host name")
    domain = os.fsdecode(host)
    put("me", domain)
    put("defaultdomain", settings.default_domain(domain))
    put("plusdomain", settings.plus_domain(domain))
    names = [host] if argv else local_names(resolver, host)
    put("locals", *map(os.fsdecode, names))
    put("rcpthosts", *map(os.fsdecode, names))
    say(b"Now qmail will refuse to accept SMTP messages except to those hosts.\n"
        b"Make sure to change rcpthosts if you add hosts to locals or virtualdomains!")


def say(line):
    netio.write_all(1, line + b"\n")


def find(name):
    """The name in the DNS of the host that calls itself `name`. Raises Temporary."""
    say(b"Your hostname is %b." % name)
    try:
        host = fully_qualified(name).lower()
    except (dns.NotFound, NoAddresses, Temporary) as why:
        raise Temporary("Sorry, I couldn't find your host's canonical name in DNS. You will have to set up control/me "
                        "yourself, or to name it: qmail-config HOST") from why
    say(b"Your host's fully qualified name in DNS is %b." % host)
    return host


def local_names(resolver, host):
    """The names of all addresses of this machine, as the DNS has them."""
    say(b"Checking local IP addresses:")
    own = ipme.addresses()
    try:
        own |= set(addresses(resolver, host))
    except (dns.NotFound, Temporary):
        pass                        # said already: its name was found by it
    names = {}
    for address in sorted(own):
        try:
            name = name_of(resolver, address).lower()
            say(b"%b: Adding %b to control/locals..." % (address, name))
            names[name] = True
        except (dns.NotFound, Temporary):
            say(b"%b: PTR lookup failed. I assume this address has no DNS name." % address)
    say(b"If there are any other domain names that point to you, you will have to add them to control/locals.\n"
        b"You don't have to worry about aliases, i.e., domains with CNAME records.")
    return list(names) or [host]


def put(name, *lines):
    """Write control/NAME if it is not there. Raises Temporary."""
    try:
        written = settings.write_missing(home.path("control"), {name: "".join(f"{line}\n" for line in lines)})
    except OSError as why:
        raise Temporary(f"unable to write control/{name}: {text(why)}") from why
    if written:
        say(os.fsencode(f"Putting {', '.join(lines)} into control/{name}..."))
    else:
        say(os.fsencode(f"Leaving control/{name} as it is."))
