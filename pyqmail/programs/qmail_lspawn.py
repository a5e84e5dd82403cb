"""qmail-lspawn: local deliveries for qmail-send.

    qmail-lspawn ALIASEMPTY

Reads orders from descriptor 0 and reports on descriptor 1 (spawn.wire), decides who controls each address
and has qmail-local deliver as that user; ALIASEMPTY is the delivery instruction for users without a
.qmail file. At the end of descriptor 0 it finishes what is under way. Log: descriptor 2.

Exit codes: 0 qmail-send closed descriptor 0; 100 no argument; 111 no queue, or an account or group of
qmail's is missing (one line on descriptor 2).

**Security**: root, because it must become any user; reads orders from qmail-send only. The message is
passed on, not read. Look-ups happen as qmailp in another process (spawn.resolver), deliveries as their
user in others (spawn.warm, spawn.classic), uid 0 never.
Source: qmail-lspawn(8).
"""
import gc
import os

from ..base import accounts, child, clock, durable, errors, home, prot
from ..delivery.copies import Copies
from ..delivery.deliver import Order, outcome
from ..spawn.identity import Identities
from ..spawn.local import LocalSpawner
from ..spawn.loop import Loop
from ..spawn.resolver import Resolver
from ..spawn.warm import ERRORS, OUTPUT, Pool


def main(argv):
    child.keep_error_descriptor()
    try:
        os.chdir(home.path("queue", "mess"))
    except OSError:
        return errors.TEMPORARY
    if not argv:
        return errors.PERMANENT
    try:
        getpw_ids, owner = accounts.ids("qmailp"), accounts.uid("qmailq")
    except errors.Temporary as why:
        errors.say("fatal: ", str(why))
        return errors.TEMPORARY
    environ = child.environment()
    loop, time = Loop(), clock.Clock()
    pool = Pool(loop, delivering(environ), time)
    resolver = Resolver(loop, getpw_ids, time)
    identities = Identities()
    prot.prepare()                  # here: each process would take half a millisecond for it
    gc.freeze()                     # what is there now is shared with every process forked from here
    LocalSpawner(loop, resolver, pool, owner=owner, alone=(accounts.private() or (None,))[0], identities=identities,
                 aliasempty=argv[0], environ=environ, getpw_ids=getpw_ids).run()
    return 0


def delivering(environ):
    """What a warm process does with the fields of its order and the message: deliver, with its pipe as output."""
    flush = durable.data_flusher()

    def delivery(fields, message):
        *arguments, number, repeat = fields
        return outcome(Order(*arguments, message=message, output=OUTPUT, error_output=ERRORS, environ=environ, flush=flush,
                             copies=Copies(number, repeat == b"1")))
    return delivery
