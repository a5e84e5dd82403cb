"""qmail-rspawn: schedule remote deliveries for qmail-send.

    qmail-rspawn [--wide]

Reads orders from descriptor 0, writes reports to descriptor 1 (spawn.wire). The first bytes it
writes are the number of deliveries that it carries at once: 120, as qmail's. With --wide numbers have
two bytes and the limit is what descriptors allow, up to 2000.

All deliveries are coroutines of one process. A delivery by itself speaks with a server as qmail-remote does; among
others to the same server it greets with EHLO, uses PIPELINING if the server offers it, and leaves its connection to
the next one: for up to control/remotemessages messages (100), each with a MAIL and DATA of its own. Recipients of one
message at one host get a message each, as always; with control/remoterecipients up to so many share one.

Only when the environment variable QMAILREMOTE names a program, or the first `qmail-remote` along PATH is not
pyqmail's own, that program is run for each delivery, as `PROGRAM HOST SENDER RECIPIENT` in queue/mess with the
message on descriptor 0.

At the start queue/lock/tcpto is cleared. Exit: 0 at end of file, all deliveries finished; 111 if it
cannot begin, before the first byte.
**Security**: runs as qmailr:qmail, may read messages and write tcpto, gains no rights by executing.
Everything that arrives by SMTP or DNS is a stranger's; orders are qmail-send's, and checked. Two processes
(spawn.starter): the one that carries the deliveries can open messages, control files and tcpto and nothing else,
and executes nothing.
Source: qmail-rspawn, spawn.c's behaviour as recorded. A local fault, a missing program too, is
always temporary here.
"""
import os
import resource

from ..base import accounts, child, errors, home, prot, sig
from ..base.without import Without
from ..smtp import reports, tcpto
from ..smtp.confined import confined as confine
from ..spawn import orders, wire
from ..spawn.starter import AGAIN, guard

WIDE_MAX = 2000                     # deliveries
PER_DELIVERY, SPARE = 3, 300        # descriptors: message, connection, one that is kept; and questions to DNS and the rest


def main(argv):
    wide = b"--wide" in argv        # other arguments mean nothing, as they always have
    try:
        os.chdir(home.path("queue/mess"))
    except OSError:
        return errors.TEMPORARY     # whoever waits for the first byte says so
    sig.ignore_pipe()
    child.keep_error_descriptor()
    limit, width = (wide_limit(), 2) if wide else (wire.HELLO, 1)
    try:
        owner = accounts.uid("qmailq")
    except errors.Temporary as why:
        errors.say("fatal: ", str(why))
        return errors.TEMPORARY
    forget_silent_hosts()
    if foreign() is None:
        prot.no_new_privileges()

    def work(guardian, again):
        with Without("ssl"):
            import asyncio          # it and what uses it are 7 MB that the guardian does without
        return asyncio.run(serve(limit, width, owner, guardian, again))
    return guard(work, foreign)


def wide_limit():
    """How many deliveries the descriptors suffice for, once the soft limit is as high as it may be."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY:
        return WIDE_MAX
    return max(1, min(WIDE_MAX, (hard - SPARE) // PER_DELIVERY))


def forget_silent_hosts():
    """All hosts get a new chance with a new start."""
    try:
        fd = os.open(tcpto.path(), os.O_WRONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return                      # no table: deliveries do without
    try:
        tcpto.clear(fd)
    except OSError:
        pass                        # an old table costs some deliveries a wait, no more
    finally:
        os.close(fd)


async def serve(limit, width, owner, guardian, again):
    """The worker. again: it takes over from another one. Returns its exit code."""
    from ..smtp.carrier import Carrier      # see main()
    from ..spawn.aio import Spawner
    from ..spawn.foreign import Children
    carrier, children = Carrier(most_idle=limit), Children(guardian)
    if foreign() is None:
        carrier.warm()
    confined = confine("qmail-rspawn", ".")

    async def carry(group, message):
        if foreign() is None:
            return await carrier.deliver(message, host(group[0]), group[0].sender, [order.recipient for order in group])
        return [await run(order, message) for order in group]

    async def run(order, message):
        try:
            return reports.ended(*await children.run(host(order), order.sender, order.recipient, message))
        except orders.Refused as refused:
            return refused.report

    def together():
        try:
            return carrier.current.recipients if foreign() is None else 1
        except errors.Temporary:
            return 1                # each delivery says so

    spawner = Spawner(carry, limit, width, owner, confined.outgrown, together)
    await spawner.run(greet=not again)
    carrier.close()
    return AGAIN if spawner.left else 0


def host(order):
    return order.recipient.rpartition(b"@")[2]


def foreign():
    """The program to run for each delivery; None while qmail-remote is pyqmail's own.

    $QMAILREMOTE comes first, then what PATH has under that name. Nothing there: our own, if it is in place.
    """
    named = os.environb.get(b"QMAILREMOTE")
    if named is not None:
        return named
    own = os.fsencode(home.program("qmail-remote"))
    found = child.find(b"qmail-remote", child.search_path()) or own
    same = found == own or os.path.realpath(found) == os.path.realpath(own)
    return None if same and home.ours("qmail-remote") else found
