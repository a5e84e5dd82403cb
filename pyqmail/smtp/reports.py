"""What qmail-remote says of a delivery, and what qmail-rspawn makes of it.

qmail-remote writes records, each a letter, text and NUL: one per recipient as far as it got (`r`
accepted, `h` refused for good, `s` refused for now), then one for the message (`K` delivered, `Z`
later, `D` never). The texts are read by postmasters and by programs: they are qmail's, to the byte.
"""
USAGE = b"DI (qmail-remote) was invoked improperly. (#5.3.5)\n"
NO_CONTROLS = b"ZUnable to read control files. (#4.3.0)\n"
NO_HOME = b"ZUnable to switch to home directory. (#4.3.0)\n"
NO_MEMORY = b"ZOut of memory. (#4.3.0)\n"
NO_RESOURCES = b"ZSystem resources temporarily unavailable. (#4.3.0)\n"
NO_MESSAGE = b"ZUnable to read message. (#4.3.0)\n"
PARTIAL_LINE = b"DSMTP cannot transfer messages with partial final lines. (#5.6.2)\n"
DNS_TROUBLE = b"ZSorry, I couldn't find any host by that name. (#4.1.2)\n"
NO_EXCHANGER = b"DSorry, I couldn't find a mail exchanger or IP address. (#5.4.4)\n"
NO_CONNECTION = b"ZSorry, I wasn't able to establish an SMTP connection. (#4.4.1)\n"
BEST_PREFERENCE = (b"DSorry. Although I'm listed as a best-preference MX or A for that host,\n"
                   b"it isn't in my control/locals file, so I don't treat it as local. (#5.4.6)\n")
# Not qmail's: it would send such an address, and with it a line of SMTP of somebody else's choice.
LINE_END_IN_ADDRESS = b"DSMTP cannot transfer addresses with line ends in them. (#5.1.3)\n"

NOT_RUN = b"ZUnable to run qmail-remote.\n"
REFUSED_TO_RUN = b"DUnable to run qmail-remote.\n"
CRASHED = b"Zqmail-remote crashed.\n"
SILENT = b"Zqmail-remote produced no output.\n"

PRINTABLE = bytes(byte if 33 <= byte <= 126 else ord("?") for byte in range(256))
VISIBLE = bytes(byte if 32 <= byte <= 126 else ord("?") for byte in range(256))
RECIPIENT = b"r", b"h", b"s"
RANK = {b"D": 0, b"Z": 1, b"K": 2}


def no_such_host(host):
    return b"DSorry, I couldn't find any host named %b. (#5.1.2)\n" % host.translate(PRINTABLE)


def died(address, critical):
    """The connection broke; `critical` once the final dot may have been seen: the server may have the message."""
    duplicate = b"Possible duplicate! " if critical else b""
    return b"ZConnected to %b but connection died. %b(#4.4.2)\n" % (address, duplicate)


def ended(status, output):
    """qmail-rspawn's report on a program run as qmail-remote that ended with `status` (minus the
    signal's number if one killed it), having written `output`."""
    if status < 0:
        return CRASHED
    if status:
        return NOT_RUN if status == 111 else REFUSED_TO_RUN
    return summary(output) if output else SILENT


def summary(output):
    """qmail-rspawn's report on one delivery: one letter and text, made of qmail-remote's records.

    The verdict on the message is the letter of the first record that is K, Z or D, and D without
    one; the recipient's own `s` or `h` comes before it. The message's text follows the recipient's
    unless the message did better than its recipient. A record not ended by NUL has no verdict, and as
    the first one no text.
    """
    verdict = next((record[:1] for record in output.split(b"\0")[:-1] if record[:1] in RANK), b"D")
    letter = {b"s": b"Z", b"h": b"D"}.get(output[:1], verdict)
    first, *others = output[1:].split(b"\0")        # the first byte is a letter, even if it is NUL
    if not others:
        return letter
    if RANK[verdict] <= RANK[letter] and others[0][:1] in RANK:
        return letter + first + others[0][1:]
    return letter + first


def of_each(output, count):
    """qmail-rspawn's reports on `count` recipients of one message that shared a dialogue with this output: for each
    what it would have been with this recipient alone."""
    if count == 1:
        return [summary(output)]
    records = output.split(b"\0")[:-1]
    own = [record for record in records[:count] if record[:1] in RECIPIENT]
    rest = b"\0".join(records[len(own):]) + b"\0"
    return [summary(record + b"\0" + rest) for record in own] + [summary(rest)] * (count - len(own))
