"""qmail-rcptcheck: tell whether a recipient has a mailbox.

    qmail-rcptcheck --service           be the service that qmail-smtpd asks (started by qmailctl)
    qmail-rcptcheck address …           ask it; one line for each address

The answer is what a delivery would find: where qmail-send sends the address (locals, virtualdomains, percenthack,
envnoathost), who controls it (users/cdb, the system's accounts, alias), his .qmail files, and the accounts and quotas
of virtual domains where such a file runs our vdelivermail. Where another program stands in the place of qmail-send,
qmail-lspawn, qmail-getpw or qmail-local, every address counts as known.

Control files: me locals virtualdomains percenthack envnoathost. HUP: forget what is remembered.

Exit codes: 0 every address has a mailbox, or is not local; 1 one has none, or its quota is used up; 100 usage;
111 it cannot be told now. As a service: 0 told to end; 111 cannot start, or a part of it died.

**Security**: the service is root, as qmail-lspawn is, and has the same parts: rcptcheck.front, uid qmailp, takes
questions of qmaild and root; rcptcheck.deciding, root, gets one local address at a time; look-ups are qmailp's, .qmail
files and virtual domains are read by processes of the user who controls the address, uid 0 never. No command is run.
"""
import gc
import os
import socket

from ..base import accounts, clock, errors, home, prot, sandbox, sig
from ..rcptcheck import client, wire

WORDS = {wire.KNOWN: "known", wire.UNKNOWN: "unknown", wire.FULL: "over quota", wire.LATER: "cannot be told now"}


def main(argv):
    if argv == [b"--service"]:
        return serve()
    if not argv or any(word.startswith(b"-") or b"\0" in word or len(word) > wire.ADDRESS for word in argv):
        errors.say("qmail-rcptcheck: usage: qmail-rcptcheck --service | address ...")
        return errors.PERMANENT
    answers = client.answers(argv)
    for address, answer in zip(argv, answers):
        os.write(1, b"%b: %b\n" % (address, WORDS[answer[:1]].encode()))
    if wire.LATER in answers:
        return errors.TEMPORARY
    return 0 if all(answer.startswith(wire.KNOWN) for answer in answers) else 1


def serve():
    from ..rcptcheck import deciding, front, look       # only the service: they import all that a delivery needs
    from ..spawn.loop import Loop
    from ..spawn.resolver import Resolver
    from ..spawn.warm import Pool
    os.chdir("/")
    os.umask(0o077)
    owner = accounts.uid("root")
    if os.geteuid() != owner:
        raise errors.Temporary(f"{home.HOME} belongs to uid {owner}: only that user can start it")
    ids, allowed = accounts.ids("qmailp"), {owner, accounts.uid("qmaild")}
    prot.as_root_with(accounts.gid("qmail"))
    sandbox.enter(None, sockets=sandbox.USUAL, tcp=True, forks=True)       # nothing here executes anything
    time = clock.Clock()
    loop = Loop()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pool = Pool(loop, look.look, time)
    part = deciding.Deciding(loop, ours, Resolver(loop, ids, time), pool, (accounts.private() or (None,))[0], time)
    gc.freeze()                     # what is there now is shared with every process forked from here

    def front_process():
        front.serve(ids, allowed, socket.socket(fileno=FRONT), Loop, time)
    loop.fork(front_process, {2: 2, FRONT: theirs.fileno()}, lambda status: part.end())
    theirs.close()
    ended = []
    sig.catch(sig.TERM, lambda: (ended.append(True), part.end()))
    sig.catch(sig.HUP, part.forget)
    part.run()
    if not ended:
        errors.say("alert: qmail-rcptcheck: its front has ended")
    return 0 if ended else errors.TEMPORARY


FRONT = 3                           # descriptor of the front's end of the socket between the two
