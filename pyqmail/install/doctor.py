"""`qmailctl doctor`: what is not as it should be, one line each. qmail's instcheck, and more."""
import os
import socket
import time

from ..base import accounts, control, endpoint, home
from ..queue import check, names, wire
from ..rcptcheck import client, wire as rcptcheck
from . import dependencies, hands, hier, interpreter, services, users

RUNS_AS = {"send": "qmails", "smtpd": "qmaild", "pop3d": "root", "qmtpd": "qmaild", "qmqpd": "qmaild",
           "rcptcheck": "root"}


def complaints():
    """All that is wrong with this installation, as lines."""
    private = accounts.private()
    if not private:
        found = list(users.problems())
        yield from found
        if found:
            return                      # nothing below can be told without the accounts
    yield from hier.deviations(home.HOME)
    yield from foreign_writers()
    yield from launchers(bool(private))
    yield from libraries()
    yield from settings()
    yield from processes()
    yield from queue()


def foreign_writers():
    """Code and settings that somebody else could change: ours, the libraries, and where they stand."""
    owner = accounts.uid("root")
    told = set()
    for place in (home.path("pyqmail"), home.path("bin"), home.path("venv")):
        if not os.path.exists(place):
            continue                    # told by hier.deviations, or by libraries()
        place = os.path.realpath(place)
        foreign = hands.strangers(place, owner)
        told.update(((foreign,) if foreign else ()), hands.strangers_below(place, owner))
    for directory in ("control", "users", "alias"):
        told.update(hands.open_to_all(home.path(directory)))
    for path in sorted(told):
        yield f"{path} can be changed by others than its owner and root"


def queue():
    """What is not as qmail's programs leave it. As long as they run, a message that is not queued is one that just
    comes, unless it is old."""
    running = services.running("send") is not None
    try:
        for found in check.findings(home.path("queue"), check.owners()):
            path = home.path("queue", found.path)
            if found.kind != check.ORPHAN or not running or left_over(path):
                yield f"{path} {found.text}"
    except OSError as why:
        yield f"unable to check the queue: {why.filename}: {why.strerror}"


def left_over(path):
    try:
        return time.time() - os.stat(path).st_atime > names.OSSIFIED
    except FileNotFoundError:
        return False


def launchers(private):
    """Programs whose interpreter is not there, too old, or closed to some users."""
    seen = {}
    for programs in hier.PROGRAMS.values():
        for name in programs:
            try:
                with open(home.program(name), "rb") as f:
                    python = interpreter.of_launcher(f.read(10000))
            except OSError:
                continue                # told by hier.deviations
            if not home.ours(name):
                yield f"{home.program(name)} is not pyqmail's program"
            elif python:
                seen.setdefault(python, name)
    for python, name in seen.items():
        if not os.path.exists(python):
            yield f"{home.program(name)} needs {python}, which does not exist"
        elif not private and not interpreter.open_to_all(python):
            yield f"{python}, which runs {name} and others, cannot be executed by every user"
        elif interpreter.version(python) < interpreter.OLDEST:
            yield f"{python} is older than Python {'.'.join(map(str, interpreter.OLDEST))}"


def libraries():
    """Those of pyproject.toml that cannot be found, by the name of what pip wrote about them."""
    place = home.path("venv/lib")
    present = {entry.partition("-")[0].lower().replace("_", "-")
               for version in (os.listdir(place) if os.path.isdir(place) else ())
               for entry in os.listdir(os.path.join(place, version, "site-packages")) if entry.endswith(("-info",))}
    for requirement in dependencies.wanted(home.HOME):
        name = dependencies.name_of(requirement)
        if name not in present:
            yield f"library {name} is not in {home.path('venv')}: run qmailctl install again"


def settings():
    """What would make mail fail or the machine an open relay."""
    if not control.exists("me"):
        yield "control/me does not exist"
    if not control.exists("rcpthosts"):
        yield "control/rcpthosts does not exist: no mail would be accepted by SMTP"
    for service in services.SERVICES:
        for address in services.addresses(service.name):
            try:
                endpoint.parse(address)
            except ValueError as why:
                yield f"control/{service.control}: {why}"
    for source in filter(os.path.exists, map(home.path, services.RULES)):
        compiled = f"{source}.cdb"
        if not os.path.exists(compiled) or os.stat(source).st_mtime > os.stat(compiled).st_mtime:
            yield f"{compiled} is older than {source}: run qmailctl cdb"


def processes():
    """Services that do not run as whom they should, or do not answer. Nothing when all are stopped."""
    up = {service.name: services.running(service.name) for service in services.wanted()}
    if not any(up.values()):
        return
    for name, process in up.items():
        if process is None:
            yield f"{name} is not running, others are"
            continue
        uid, wanted = services.uid_of(process), accounts.uid(RUNS_AS[name])
        if uid != wanted:
            yield f"{name} (pid {process.pid}) runs as uid {uid}, should be {wanted}"
    if up["send"] and home.ours("qmail-queue"):
        sock = wire.connect()
        if sock is None:
            yield "the queue service does not answer: nobody but root can queue mail"
        else:
            sock.close()
    if up.get("rcptcheck") and rcptcheck.LATER in client.answers([b"postmaster"]):
        yield f"qmail-rcptcheck cannot tell whether postmaster has a mailbox: {services.log_place('rcptcheck')}"
    for name, process in up.items():
        for address in services.addresses(name) if process else ():
            try:
                socket.create_connection(reachable(address), 5).close()
            except ValueError:
                pass                    # told by settings()
            except OSError as why:
                yield f"{name} does not answer at {address}: {why.strerror}"


def reachable(address):
    """Where to connect to for a listening address: any address means loopback."""
    host, port = endpoint.parse(address)
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port
