"""What a fresh installation has in control/ and alias/, worked out from the host's name.

Never touches a file that is there: what an administrator wrote, or removed from a file, stays.
Source: qmail's config and config-fast.
"""
import os
import socket

from ..base import endpoint
from ..base.errors import Temporary

NO_DOMAIN = "localdomain"
SKELETONS = ("root", "postmaster", "mailer-daemon")


def host_name():
    """The host's name in lower case, fully qualified; with NO_DOMAIN if the machine does not know its
    domain: qmail-inject makes names without a dot complete, so `me` needs one."""
    names = [name.rstrip(".").lower() for name in (socket.getfqdn(), socket.gethostname())]
    for name in names:
        if "." in name and not name.startswith("localhost."):
            return name
    return f"{names[-1] or 'localhost'}.{NO_DOMAIN}".replace(f".{NO_DOMAIN}.{NO_DOMAIN}", f".{NO_DOMAIN}")


def default_domain(name):
    """What follows the first dot, if that is a domain itself: mail.a.example -> a.example"""
    rest = name.partition(".")[2]
    return rest if "." in rest or rest == NO_DOMAIN else name


def plus_domain(name):
    """The last two parts: mail.b.a.example -> a.example"""
    return ".".join(name.split(".")[-2:])


def controls(name, smtp, pop3, new=True):
    """{control file: content} of an installation on the host `name` that listens at these addresses
    (from addresses()). new: what changes the answers that an existing one gives belongs to it, too."""
    domain = default_domain(name)
    names = dict.fromkeys((name, name.partition(".")[0], "localhost", f"localhost.{domain}"))
    local = "".join(f"{entry}\n" for entry in names)
    return {
        "me": f"{name}\n",
        "defaultdomain": f"{domain}\n",
        "plusdomain": f"{plus_domain(name)}\n",
        "locals": local,
        "rcpthosts": local,
        "smtplisten": smtp,
        "pop3listen": pop3,
        **({"rcptcheck": "1\n"} if new else {}),
        "concurrencylocal": "20\n",
        "concurrencyremote": "40\n",
    }


def write_missing(directory, files, mode=0o644):
    """Write those of {name: content} that are not in `directory`; returns their names."""
    written = []
    for name, content in files.items():
        try:
            fd = os.open(f"{directory}/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        except FileExistsError:
            continue
        with open(fd, "w", encoding="utf-8") as f:
            f.write(content)
        written.append(name)
    return written


def addresses(given, port, everywhere):
    """The lines of smtplisten or pop3listen: what was asked for, ADDR:PORT with commas between, else all
    addresses of this machine, or only loopback, at `port`. Raises Temporary."""
    if given is not None:
        return "".join(f"{address(entry, port)}\n" for entry in given.split(","))
    if not everywhere:
        return f"127.0.0.1:{port}\n"
    return f"0.0.0.0:{port}\n" + (f"[::]:{port}\n" if has_ipv6() else "")


def address(entry, port):
    """ADDR:PORT from ADDR:PORT, ADDR or PORT. IPv6 addresses stand in brackets. Raises Temporary."""
    if entry.isdigit():
        entry = f"0.0.0.0:{entry}"
    elif ":" not in entry.rpartition("]")[2]:
        entry = f"{entry}:{port}"
    try:
        endpoint.parse(entry)
    except ValueError:
        raise Temporary(f"{entry!r} is not ADDR:PORT") from None
    return entry


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
        return True
    except OSError:
        return False
