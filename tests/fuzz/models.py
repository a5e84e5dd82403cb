"""What must come out, said a second time: slower, simpler, on the whole input at once, with no code of pyqmail's.

Where a model and a session differ about which bytes of a stranger are commands and which are text, one of both could
be made to take a message that nobody sent.
"""
import re

# smtp/commands.py, smtp/grammar.py, smtp/data.py, qmtp/session.py
LINE, ADDRESS, LOOPING, NETSTRING_ADDRESS = 4096, 899, 100, 1000
PLAIN = {b"noop": 250, b"vrfy": 252, b"help": 214, b"helo": 250, b"ehlo": 250, b"rset": 250}
STRAY = re.compile(rb"\r(?!\n)|(?<!\r)\n")
HOP = re.compile(rb"^(received|delivered)", re.IGNORECASE | re.MULTILINE)
EOD = b"\r\n.\r\n"


class Policy:
    """What both sides are told. relay: RELAYCLIENT or None. check(address, size): an answer of rcptcheck, None where
    recipients are not checked. accept(number): the queue's answer to the message of that number."""

    def __init__(self, *, relay, check, accept, databytes=0, most=5, unknown=3):
        self.relay, self.check, self.accept = relay, check, accept
        self.databytes, self.most, self.unknown = databytes, most, unknown

    @staticmethod
    def allowed(address):
        host = address.rpartition(b"@")[2].lower()
        return b"@" not in address or host == b"a.example" or host.endswith(b".b.example")

    @staticmethod
    def bad(address):
        return address.lower().endswith(b"@bad.example")


# ---------------------------------------------------------------- SMTP

def smtp(data, policy):
    """(codes of the replies, accepted messages as (sender, recipients, text)) of a whole session."""
    codes, accepted, count = [220], [], 0
    sender, recipients, rooms, seen, strangers = b"", [], [], False, 0
    while b"\n" in data:
        line, _, data = data.partition(b"\n")
        line = line.removesuffix(b"\r")
        verb, _, rest = line.partition(b"\0")[0].partition(b" ")
        verb, rest = verb.lower(), rest.lstrip(b" ")
        if verb not in (*PLAIN, b"mail", b"rcpt", b"data", b"quit"):
            codes.append(502)
        elif len(line) > LINE:
            codes.append(500)
        elif verb in PLAIN:
            codes.append(PLAIN[verb])
            seen = seen and verb in (b"noop", b"vrfy", b"help")
        elif verb == b"quit":
            return [*codes, 221], accepted
        elif verb == b"mail":
            address = smtp_address(rest)
            if len(address) > ADDRESS:
                codes.append(555)
            else:
                codes.append(250)
                sender, recipients, rooms, seen = address, [], [], True
        elif not seen:
            codes.append(503)
        elif verb == b"rcpt":
            code, room = smtp_rcpt(smtp_address(rest), sender, recipients, policy)
            codes.append(code)
            if code == 250:
                recipients.append(smtp_address(rest) + (policy.relay or b""))
                rooms.append(room)
            strangers += code == 550
            if code == 550 and strangers >= policy.unknown:
                return [*codes, 421], accepted
        elif not recipients:
            codes.append(503)
        else:
            codes.append(354)
            end = (b"\r\n" + data).find(EOD)
            text = data if end < 0 else data[:end]
            if STRAY.search(text if end >= 0 else text.removesuffix(b"\r")):
                return [*codes, 451], accepted
            if end < 0:
                return codes, accepted
            data = data[end + 3:]
            header = b"\n".join((b"\r\n" + text).partition(b"\r\n\r\n")[0].split(b"\r\n"))
            text = b"\n".join(each.removeprefix(b".") for each in text.split(b"\r\n"))
            count += 1
            if len(HOP.findall(header)) >= LOOPING:
                codes.append(554)
            elif 0 < policy.databytes < len(text):
                codes.append(552)
            elif all(room is not None and len(text) > room for room in rooms):
                codes.append(552)
            else:
                answer = policy.accept(count)
                codes.append({b"": 250, b"D": 554, b"Z": 451}[answer[:1]])
                if not answer:
                    accepted.append((sender, recipients, text))
            sender, recipients, rooms, seen = b"", [], [], False
    return codes, accepted


def smtp_rcpt(address, sender, recipients, policy):
    """(code, bytes of room or None)."""
    if len(address) > ADDRESS:
        return 555, None
    if policy.bad(sender) or policy.relay is None and not policy.allowed(address):
        return 553, None
    answer = policy.check(address + (policy.relay or b""), 0) if policy.check else b"K"
    if answer[:1] != b"K":
        return {b"U": 550, b"Q": 552, b"Z": 451}[answer], None
    if len(recipients) >= policy.most:
        return 452, None
    return 250, int(answer[1:]) if answer[1:] else None


def smtp_address(text):
    """The address in the argument of MAIL or RCPT, by one expression for each of its forms."""
    if b"<" in text:
        text, end = text[text.index(b"<") + 1:], b">"
    else:
        text, end = (text[text.index(b":") + 1:] if b":" in text else b"").lstrip(b" "), b" "
    if text[:1] == b"@":
        text = text[text.index(b":") + 1:] if b":" in text else b""
    word = rb'\\.|\\\Z|"(?:\\.|\\\Z|[^"\\])*(?:"|\Z)|[^"\\%b]' % end
    found = re.match(rb"(?:%b)*" % word, text, re.DOTALL)[0]
    kept = re.sub(rb'\\(.)|"|\\\Z', lambda match: match[1] or b"", found, flags=re.DOTALL)
    return kept


# ---------------------------------------------------------------- QMTP, QMQP

class Ended(Exception):
    """The rest is no packet, or not there."""


def take(data, width=999):
    """(contents, rest) of the netstring that `data` begins with, with a length of so many characters at most."""
    digits = re.match(rb"([0-9]*):", data)
    if not digits or len(digits[1].lstrip(b"0")) > 9 or len(digits[1]) > width:
        raise Ended
    start, length = digits.end(), int(digits[1] or b"0")
    if data[start + length:start + length + 1] != b",":
        raise Ended
    return data[start:start + length], data[start + length + 1:]


def qmtp(data, policy):
    """(one letter an answer, accepted messages)."""
    letters, accepted, count, strangers = b"", [], 0, 0
    try:
        while strangers < policy.unknown:
            message, data = take(data)
            if message[:1] not in (b"\n", b"\r"):
                raise Ended
            sender, data = take(data)
            rest, data = take(data)
            text = message[1:] if message[:1] == b"\n" else message[1:].replace(b"\r\n", b"\n")
            verdicts, recipients = [], []
            while rest:
                address, rest = take(rest)
                verdict = qmtp_recipient(address, recipients, policy)
                verdicts.append(verdict)
                if verdict == b"K":
                    recipients.append(address + (policy.relay or b""))
            count += 1
            fine = len(sender) < NETSTRING_ADDRESS and b"\0" not in sender
            if policy.check and fine and not 0 < policy.databytes < len(text):
                found = [mailbox(each, len(text), policy) for each in recipients]
                recipients = [each for each, answer in zip(recipients, found) if answer == b"K"]
                strangers += found.count(b"U")
                letter = iter({b"U": b"D", b"Q": b"D", b"Z": b"Z", b"K": b"K"}[answer] for answer in found)
                verdicts = [next(letter) if verdict == b"K" else verdict for verdict in verdicts]
            if 0 < policy.databytes < len(text):
                answer = b"D"
            elif not fine:
                answer = b"D"
            else:
                answer = policy.accept(count)[:1] or b"K" if recipients else b"Z"
                if recipients and answer == b"K":
                    accepted.append((sender, recipients, text))
            letters += b"".join(answer if verdict == b"K" else verdict for verdict in verdicts)
    except Ended:
        pass
    return letters, accepted


def mailbox(address, size, policy):
    """The letter of the recipient check once the size is known."""
    answer = policy.check(address, 0)
    if answer[1:] and int(answer[1:]) < size:
        answer = policy.check(address, size)
    return answer[:1]


def qmtp_recipient(address, recipients, policy):
    if len(address) + len(policy.relay or b"") >= NETSTRING_ADDRESS:
        return b"D"
    if policy.relay is None and not policy.allowed(address) or b"\0" in address:
        return b"D"
    return b"Z" if len(recipients) >= policy.most else b"K"


def qmqp(data, policy):
    """(the answer's letter or b"", accepted messages)."""
    try:
        packet, _ = take(data, 99)
        message, rest = take(packet)
        sender, rest = take(rest)
        recipients = []
        while rest:
            recipient, rest = take(rest)
            recipients.append(recipient)
    except Ended:
        return b"", []
    if any(len(each) >= NETSTRING_ADDRESS or b"\0" in each for each in (sender, *recipients)):
        return b"D", []
    answer = policy.accept(1)[:1]
    return answer or b"K", [] if answer else [(sender, recipients, message)]


# ---------------------------------------------------------------- others

def unstuffed(stream):
    """The text that an SMTP or POP3 reader gets from dot-stuffed lines, LF ended; the stream ends with the final dot.
    Asserts that nothing else could be taken for it."""
    assert not STRAY.search(stream), "a CR or LF that is no line end"
    lines = stream.split(b"\r\n")
    assert lines[-2:] == [b".", b""] and b"." not in lines[:-2], "not one final dot"
    return b"".join(line.removeprefix(b".") + b"\n" for line in lines[:-2])


def smtp_replies(data):
    """(code, text) of the replies of a server, as qmail-remote's smtpcode() reads them, byte for byte."""
    found, at = [], 0

    def get():
        nonlocal at
        at += 1
        if at > len(data):
            raise Ended
        kept.append(data[at - 1:at])
        return data[at - 1]
    while True:
        kept = []
        try:
            code = ((get() - 48) * 100 + (get() - 48) * 10 + (get() - 48)) % (1 << 64)
            while get() == ord("-"):
                while kept[-1] != b"\n":
                    get()
                get(), get(), get()
            while kept[-1] != b"\n":
                get()
        except Ended:
            return found
        found.append((code, b"".join(kept).replace(b"\r", b"").replace(b"\0", b"?")))


def delivery(stream, sender, recipients, extended):
    """(letters of qmail-remote's records, whether the server offers PIPELINING) for what a server says."""
    replies, letters = iter(smtp_replies(stream)), b""

    def code():
        found = next(replies, None)
        if found is None:
            raise Ended
        return found[0]

    def refusal(number):
        return b"D" if number >= 500 else b"Z"
    pipelining = False
    try:
        if code() != 220:
            return b"Z", pipelining
        number, text = next(replies, (0, b""))
        pipelining = extended and number == 250 and b"PIPELINING" in text.upper()
        if extended and number not in (250, 421) and text:
            number = code()
        if number != 250:
            return b"Z", pipelining
        if b"\r" in sender:
            return b"D", pipelining
        number = code()
        if number >= 400:
            return refusal(number), pipelining
        for recipient in recipients:
            if b"\r" in recipient:
                letters += b"h"
            else:
                number = code()
                letters += b"h" if number >= 500 else b"s" if number >= 400 else b"r"
        if b"r" not in letters:
            return letters + b"D", pipelining
        number = code()
        if number >= 400:
            return letters + refusal(number), pipelining
        number = code()
        return letters + (refusal(number) if number >= 400 else b"K"), pipelining
    except Ended:
        return letters + b"Z", pipelining


def mbox_messages(data):
    """The texts of the messages of an mboxrd, quoting undone, each as it was but for the newline at its end."""
    found, current = [], None
    for line in data.removesuffix(b"\n").split(b"\n"):
        if line.startswith(b"From "):
            current = []
            found.append(current)
        else:
            current.append(line[1:] if re.match(rb">+From ", line) else line)
    return [b"\n".join(each) for each in found]


def envelope(data):
    """(records, exit code of qmail-queue) of an envelope on descriptor 1; the code is None for a good one."""
    records, expected = [], b"F"
    while True:
        record, nul, rest = data.partition(b"\0")
        if nul and not record and expected == b"T":
            return records, None
        if record[:1] != expected and (record or nul):
            return records, 91
        if len(record) - 1 > 1002:
            return records, 11
        if not nul:
            return records, 54
        records.append(record)
        data, expected = rest, b"T"
