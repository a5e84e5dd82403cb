"""The checks of an order, the same for local and remote deliveries.

Source: qmail's spawn.c as recorded. The texts and the order of the checks are visible to postmasters.
"""
import os
import stat

MESSID_MAX = 99                     # bytes

NO_MEMORY = b"Zqmail-spawn out of memory. (#4.3.0)\n"
NUMBER_TOO_BIG = b"ZInternal error: delnum too big. (#4.3.5)\n"
NUMBER_IN_USE = b"ZInternal error: delnum in use. (#4.3.5)\n"
MESSID_BAD = b"DInternal error: messid has nonnumerics. (#5.3.5)\n"
MESSID_LONG = b"DInternal error: messid too long. (#5.3.5)\n"
MESSID_EMPTY = b"DInternal error: messid too short. (#5.3.5)\n"
NO_HOST = b"DSorry, address must include host name. (#5.1.3)\n"
NO_OPEN = b"Zqmail-spawn unable to open message. (#4.3.0)\n"
NO_FSTAT = b"Zqmail-spawn unable to fstat message. (#4.3.0)\n"
WRONG_TYPE = b"ZSorry, message has wrong type. (#4.3.5)\n"
WRONG_OWNER = b"ZSorry, message has wrong owner. (#4.3.5)\n"
NO_PIPE = b"Zqmail-spawn unable to create pipe. (#4.3.0)\n"
NO_FORK = b"Zqmail-spawn unable to fork. (#4.3.0)\n"


class Refused(Exception):
    """An order that is not carried out. `report` is the text of its report, letter first."""

    def __init__(self, report):
        super().__init__(report)
        self.report = report


def open_message(order, limit, busy, owner):
    """Check an order (wire.Order) and give a descriptor of its message, at position 0, close-on-exec.

    limit: numbers from this on do not exist. busy: the numbers in use (anything with `in`). owner: the
    uid of qmailq, to whom a queued message must belong. The working directory is queue/mess.
    Raises Refused.
    """
    check(order, limit, busy)
    try:
        fd = os.open(order.messid, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)     # a FIFO must not hang us
    except OSError:
        raise Refused(NO_OPEN) from None
    try:
        check_file(fd, owner)
    except Refused:
        os.close(fd)
        raise
    return fd


def check(order, limit, busy):
    """The checks that need no file. Raises Refused."""
    if order.oversize:
        raise Refused(NO_MEMORY)
    if order.delnum >= limit:
        raise Refused(NUMBER_TOO_BIG)
    if order.delnum in busy:
        raise Refused(NUMBER_IN_USE)
    if order.messid.startswith(b"/") or order.messid.strip(b"0123456789/"):
        raise Refused(MESSID_BAD)
    if len(order.messid) > MESSID_MAX:
        raise Refused(MESSID_LONG)
    if not order.messid:
        raise Refused(MESSID_EMPTY)
    if b"@" not in order.recipient:
        raise Refused(NO_HOST)


def check_file(fd, owner):
    """A message is a regular file of qmailq's: nothing else may reach a mailbox. Raises Refused."""
    try:
        found = os.fstat(fd)
    except OSError:
        raise Refused(NO_FSTAT) from None
    if not stat.S_ISREG(found.st_mode):
        raise Refused(WRONG_TYPE)
    if found.st_uid != owner:
        raise Refused(WRONG_OWNER)


def grouped(received, most):
    """These orders as lists of up to `most` that are for one message, sender and host and for different recipients:
    equal ones get a copy each."""
    if most == 1:
        return [[order] for order in received]
    groups, latest = [], {}
    for order in received:
        key = order.messid, order.sender, order.recipient.rpartition(b"@")[2].lower()
        group = latest.get(key)
        if group is None or len(group) == most or order.recipient in group:
            group = latest[key] = {}
            groups.append(group)
        group[order.recipient] = order
    return [list(group.values()) for group in groups]
