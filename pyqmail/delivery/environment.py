"""The lines put before a message, and the environment of commands and of qmail-queue.

Values are the envelope's raw bytes, whatever they are: names are ours alone, nothing is quoted,
and nothing is put into a command line. Source: qmail-command(8), local-delivery as recorded.
"""
from ..base import address, date

DASHES = bytes.maketrans(b" \t\n", b"---")


def delivered_to(local, domain):
    """b"Delivered-To: local@domain\\n"; a newline within becomes "_", so that it stays one line."""
    return b"Delivered-To: %b@%b\n" % (local.replace(b"\n", b"_"), domain.replace(b"\n", b"_"))


def return_path(sender):
    """b"Return-Path: <sender>\\n", quoted where it must be."""
    return b"Return-Path: <%b>\n" % address.quote(sender).replace(b"\n", b"_")


def from_line(sender, now):
    """The line that begins a message in an mbox; it has no blanks but those that separate its parts."""
    return b"From %b %b\n" % (sender.translate(DASHES) or b"MAILER-DAEMON", date.from_line(now))


def variables(order, now, new_sender, default):
    """Everything in qmail-local's hands as {name: value}; DEFAULT only where a file gives it one.

    order: see deliver.Order. now: seconds, for UFLINE. default: what "default" stood for in the
    name of the .qmail file, None if nothing.
    """
    found = {
        **order.environ,
        b"USER": order.user, b"HOME": order.home, b"LOCAL": order.local,
        b"SENDER": order.sender, b"NEWSENDER": new_sender, b"RECIPIENT": order.local + b"@" + order.domain,
        b"DTLINE": delivered_to(order.local, order.domain),
        b"RPLINE": return_path(order.sender),
        b"UFLINE": from_line(order.sender, now),
    }
    ext, host = order.ext, order.domain
    for level in (b"", b"2", b"3", b"4"):
        found[b"EXT" + level], found[b"HOST" + level] = ext, host
        ext = ext.partition(b"-")[2]
        if b"." in host:
            host = host[:host.rindex(b".")]
    if default is not None:
        found[b"DEFAULT"] = default
    return found
