"""The words of the recipient check: from those who ask to its front, and from the front to its root part.

    question      RC1 NUL number NUL size NUL address NUL address …      at most BATCH addresses
    answer        number NUL answer NUL answer …                         one for each address, in their order
    order         number NUL size NUL local NUL domain                   front to root part: one recipient
    verdict       number NUL answer                                      and back; number 0: forget what is remembered

Each is one packet. number: any, in decimal, chosen by who asks. size: bytes of the message, 0 as long as it is not
known. An answer is a letter: K there is a mailbox, followed by the bytes that its quota has room for, if it has one;
U unknown, mail would bounce; Q over quota, mail of this size would bounce; Z nobody can tell now.
"""
from ..base import number as numbers
from ..queue import wire as sockets

DIRECTORY = "run/qmail-rcptcheck"
VERSION = b"RC1"
BATCH = 50                          # addresses of one question
ADDRESS = 1100                      # bytes; the queue takes no address as long as this
PACKET = BATCH * (ADDRESS + 1) + 100
ORDER = 2 * ADDRESS                 # bytes; a virtual domain's prefix comes on top of an address
ANSWER = 20                         # bytes of one answer
DIGITS = 18
FORGET = 0                          # no order has this number
KNOWN, UNKNOWN, FULL, LATER = b"K", b"U", b"Q", b"Z"


def connect():
    """A connection to the service, None if it is not there, or not for us."""
    return sockets.connect(DIRECTORY)


def question(number, size, addresses):
    return b"\0".join((VERSION, b"%d" % number, b"%d" % size, *addresses))


def read_question(packet):
    """(number, size, addresses) of a question; None for a packet that is none."""
    version, *fields = packet.split(b"\0")
    if version != VERSION or not 3 <= len(fields) <= BATCH + 2 or not all(map(decimal, fields[:2])):
        return None
    addresses = fields[2:]
    if max(map(len, addresses)) > ADDRESS:
        return None
    return int(fields[0]), int(fields[1]), addresses


def answer(number, answers):
    return b"\0".join((b"%d" % number, *answers))


def read_answer(packet):
    """(number, answers); None for a packet that is no answer. An answer that is none is LATER."""
    number, *answers = packet.split(b"\0")
    if not decimal(number) or not answers:
        return None
    return int(number), [one if valid(one) else LATER for one in answers]


def order(number, size, local, domain):
    return b"%d\0%d\0%b\0%b" % (number, size, local, domain)


def read_order(packet):
    """(number, size, local, domain) of an order; None for a packet that is none."""
    fields = packet.split(b"\0")
    if len(fields) != 4 or not all(map(decimal, fields[:2])) or not fields[2] or len(packet) > ORDER:
        return None
    return int(fields[0]), int(fields[1]), *fields[2:]


def valid(one):
    """True for one answer as it must be."""
    return one in (KNOWN, UNKNOWN, FULL, LATER) or one[:1] == KNOWN and decimal(one[1:])


def room(one):
    """The bytes of room that a K answer speaks of; None without a quota."""
    return numbers.leading(one[1:])[0]


def tight(one, size):
    """True for a K answer with less room than `size` bytes: a hint, to be asked about again with the size."""
    return one.startswith(KNOWN) and len(one) > 1 and room(one) < size


def decimal(text):
    return text.isdigit() and len(text) <= DIGITS
