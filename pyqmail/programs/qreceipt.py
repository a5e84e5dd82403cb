"""qreceipt: respond to delivery notice requests.

    qreceipt deliveryaddress

Used in .qmail. If a field Notice-Requested-Upon-Delivery-To of the message on descriptor 0 names
deliveryaddress, sends a success notice to the envelope sender SENDER; not to the null sender or to #@[]. Exit
codes: 0, 100 for bad usage, a field that cannot be parsed or permanent refusal by qmail-queue, 111 temporary error.
**Security**: runs as the user whose .qmail names it; the header comes from strangers.
Source: qreceipt(1).
"""
import os

from ..base import address, child, errors, header
from ..base.errors import Permanent, Temporary
from ..inject import addresses, tokens
from ..inject.tokens import Unparsable
from ..queue.client import Submission

HEADER_LIMIT = 1 << 20               # a stranger's header; no receipt is worth more memory, nor a bounce
REQUEST = b"notice-requested-upon-delivery-to"
NOTICE = b"""\
From: DELIVERY NOTICE SYSTEM <%b>
To: <%b>
Subject: success notice

Hi! This is the qreceipt program. Your message was delivered to the
following address: %b. Thanks for asking.
"""


def main(argv):
    environ = child.environment()
    if not argv or b"SENDER" not in environ:
        errors.say("qreceipt: usage: qreceipt deliveryaddress")
        return errors.PERMANENT
    target, sender = argv[0], environ[b"SENDER"]
    try:
        wanted, message_id = read_header(target)
    except header.HeaderTooLong:
        errors.say("qreceipt: header too long, no notice sent")
        return 0
    if wanted and sender not in (b"", b"#@[]"):
        send(sender, target, message_id, environ)


def read_header(target):
    """(whether a notice for target is asked for, the Message-ID field or b"")."""
    wanted, message_id = False, b""
    for field in header.Message(standard_input, HEADER_LIMIT).fields():
        name = header.name(field)
        if name == b"message-id":
            message_id = field
        elif name == REQUEST:
            wanted = target in named(field) or wanted
    return wanted, message_id


def named(field):
    """The addresses in a field. Raises Permanent."""
    found = []
    try:
        contents = tokens.read(field)[2:]       # behind the name and its colon
        addresses.rewrite_list(contents, lambda addr: found.append(tokens.plain(addr)) or addr)
    except Unparsable:
        raise Permanent(os.fsdecode(b"unable to parse this: " + field.removesuffix(b"\n"))) from None
    return found


def standard_input():
    try:
        return os.read(0, 65536)
    except OSError:
        raise Temporary("read error") from None


def send(sender, target, message_id, environ):
    quoted = address.quote(sender)
    try:
        queue = Submission(environ)
    except OSError:
        raise Temporary("unable to fork") from None
    with queue:
        queue.put(NOTICE % (quoted, quoted, target))
        if message_id:
            queue.put(b"Your " + message_id)
        answer = queue.finish(b"", [sender])
    if answer[:1] == b"D":
        raise Permanent("permanent qmail-queue error")
    if answer:
        raise Temporary("temporary qmail-queue error")
