"""qmail-queue: queue a mail message for delivery.

    qmail-queue                              message on descriptor 0, envelope on 1
    qmail-queue --service [--follow PID [--held]]    be the queue service (started by qmail-start)

The message is read from descriptor 0 to its end, then the envelope from descriptor 1: `F` sender
NUL, `T` recipient NUL …, NUL. Prints nothing; tells by its exit code what happened (qmail-queue(8)):
0 queued, 11 address too long, 51 memory, 52 timeout, 53 write error, 54 read error, 61 62 no home or
queue directory, 63-66 queue files cannot be made, 81 bug, 91 bad envelope.

**Security**: called by everybody. Root, and qmailq itself, insert directly, as qmailq with the
caller's group; all others give what they read to the queue service and report its exit code.
Source: qmail-queue(8).
"""
import os

from ..base import accounts, errors, home, prot, sig
from ..queue import insert, names, wire

CRASHES = (sig.ABRT, sig.ILL, sig.FPE, sig.BUS, sig.SEGV, sig.SYS)
KEPT = 1 << 15                      # bytes of a message, and of an envelope, that are kept for one packet
TRIES = 20                          # connections, a tenth of a second apart
IGNORED = (sig.PIPE, sig.VTALRM, sig.PROF, sig.QUIT, sig.INT, sig.HUP, sig.XCPU, sig.XFSZ)


def main(argv):
    if argv[:1] == [b"--service"]:
        return serve(argv[1:])
    sig.ignore(*IGNORED)
    sig.catch(sig.ALRM, lambda: os._exit(insert.TIMEOUT))
    for number in CRASHES:
        sig.catch(number, lambda: os._exit(81))
    os.umask(0o033)
    sig.alarm(names.DEATH)
    try:
        if os.geteuid() in (0, accounts.uid("qmailq")):
            return direct()
        return through_service()
    except MemoryError:
        return 51


def serve(options):
    from ..queue import places, service     # threads and sockets: not for the classic program
    follow = int(options[1]) if options[:1] == [b"--follow"] and options[2:] in ([], [b"--held"]) else None
    if options and follow is None:
        errors.say("qmail-queue: usage: qmail-queue --service [--follow PID [--held]]")
        return errors.PERMANENT
    if os.geteuid() == 0:
        places.raise_limits()
        prot.become(*accounts.ids("qmailq"), groups=[accounts.gid("nofiles")])
    return service.serve(follow, held=len(options) > 2)


def direct():
    """Insert in this process, as qmailq. The files get the group we were called with, as qmail's do."""
    uid, gid = os.getuid(), os.getgid()
    caller = insert.Caller(uid, gid, os.getpid(), insert.invoked(uid, accounts.roles()))
    try:
        os.chdir(home.HOME)
    except OSError:
        return insert.NO_HOME
    if uid == 0:
        prot.become(accounts.uid("qmailq"), gid, groups=[gid])
    try:
        os.chdir("queue")
    except OSError:
        return insert.NO_QUEUE
    try:
        insert.insert(0, 1, caller)
        return 0
    except insert.Refused as why:
        return why.code


def through_service():
    """Let the service do it; a service that is not there is a temporary trouble in the queue."""
    sock, text, piece, envelope, records = None, b"", b"-", b"", insert.Records()
    try:
        while len(text) <= KEPT and (piece := insert.read(0)):
            text += piece
        while not piece and not records.done and len(envelope) <= KEPT:
            envelope += checked(records)
        sock = connect()
        if sock is None:
            return insert.NO_QUEUE
        hand_over(sock, text, bool(piece), envelope, records)
    except insert.Refused as why:       # qmail-queue has trouble with the queue before it reads anything
        return insert.NO_QUEUE if sock is None and connect() is None else why.code
    except OSError:
        pass                        # it has answered already, or it has gone
    return wire.receive_answer(sock)[0]


def connect():
    for attempt in range(TRIES):
        sock = wire.connect()
        if sock is not None:
            return sock
        if attempt < TRIES - 1:
            import time             # only while the service is being restarted
            time.sleep(0.1)
    return None


def hand_over(sock, text, more, envelope, records):
    """The message, whole if it is small. more: not all of the text has been read; records: those of the envelope so far.
    Raises Refused, OSError."""
    packet = wire.whole(text, envelope, as_pid=True) if records.done else None
    if packet is not None:
        sock.send(packet)
        return
    wire.begin(sock, as_pid=True)
    wire.send_all(sock, wire.TEXT, text)
    while more and (piece := insert.read(0)):
        wire.send_all(sock, wire.TEXT, piece)
    wire.send_all(sock, wire.ENVELOPE, envelope)
    while not records.done:
        wire.send_all(sock, wire.ENVELOPE, checked(records))


def checked(records):
    """Some more of the envelope. Raises Refused."""
    piece = insert.read(1)
    records.feed(piece)
    return piece
