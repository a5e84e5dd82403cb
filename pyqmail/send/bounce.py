"""Bounces: the text collected for each failure, and the message that returns it.

Single bounce: to the sender, from nobody. Double bounce (a bounce that failed): to doublebounceto, from
`#@[]`. Triple bounce (that failed too): thrown away. Source: qmail-send(8), recorded bounces.
"""
import os

from ..base import address, date
from ..queue import names
from .rewrite import without_verp

DOUBLE = b"#@[]"                    # the sender of double bounces
PIECE = 65536
ONE_LINE = bytes.maketrans(b"\r\n", b"__")
READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


def paragraph(recipient, report):
    """What bounce/N gets for one failure: b"<recipient>:\\nreport\\n\\n".

    An empty line ends a paragraph, so there is none inside: of several newlines in a row all but the first
    become "/", except the very last one.
    """
    text = b"<%b>:\n%b" % (recipient.replace(b"\n", b"_"), report)
    if report and not report.endswith(b"\n"):
        text += b"\n"
    lines = text[:-1].split(b"\n")
    empty = (at > 0 and not line for at, line in enumerate(lines))     # a newline before it, and one behind
    pieces = [(b"/" if after_newline else b"\n") + line for line, after_newline in zip(lines[1:], empty)]
    return b"".join((lines[0], *pieces, text[-1:], b"\n"))


def in_header(sender):
    """An address in a header line of ours; a line end, which a local sender may have in his, adds none."""
    return address.quote(sender).translate(ONE_LINE)


class Bounce:
    """The bounce of message `number`, whose stored sender is `sender`.

    kind: "single", "double", or why there is none: "triple" (this already was a double bounce) or
    "unwanted" (control/doublebounceto is empty).
    """

    def __init__(self, number, sender, controls):
        self.number, self.returned = number, without_verp(sender)
        self.origin = address.quote(controls.bouncefrom + b"@") + controls.bouncehost
        self.host = controls.bouncehost
        if self.returned == DOUBLE:
            self.kind, self.sender, self.recipient = "triple", None, None
        elif self.returned:
            self.kind, self.sender, self.recipient = "single", b"", self.returned
        else:
            self.sender, self.recipient = DOUBLE, controls.doublebounceto
            self.kind = "double" if self.recipient else "unwanted"

    def head(self, now):
        """The header and the introduction; the collected text follows."""
        return (b"Date: %b\nFrom: %b\nTo: %b\nSubject: failure notice\n\n"
                b"Hi. This is the qmail-send program at %b.\n%b\n") % (
            date.rfc822(now), self.origin, in_header(self.recipient), self.host, INTRODUCTION[self.kind])

    def separator(self):
        """Between the collected text and the copy of the message."""
        return SEPARATOR[self.kind] + b"\n\nReturn-Path: <%b>\n" % in_header(self.returned)

    def inject(self, submission, now, queue):
        """Write everything into a Submission: (its answer, the number of the submission). Blocks; for a
        worker. queue: descriptor of queue/. What cannot be read breaks the submission off."""
        with submission:
            submission.put(self.head(now))
            copy(names.flat("bounce", self.number), submission, queue)
            submission.put(self.separator())
            copy(names.split("mess", self.number), submission, queue)
            answer = submission.finish(self.sender, [self.recipient])
            return answer, submission.qp


INTRODUCTION = {
    "single": b"I'm afraid I wasn't able to deliver your message to the following addresses.\n"
              b"This is a permanent error; I've given up. Sorry it didn't work out.\n",
    "double": b"I tried to deliver a bounce message to this address, but the bounce bounced!\n",
}
SEPARATOR = {
    "single": b"--- Below this line is a copy of the message.",
    "double": b"--- Below this line is the original bounce.",
}


def copy(path, submission, queue):
    """The bytes of a queue file, whole or not at all: trouble breaks the submission off."""
    try:
        fd = os.open(path, READ, dir_fd=queue)
    except OSError:
        submission.fail()
        return
    try:
        while piece := os.read(fd, PIECE):
            submission.put(piece)
    except OSError:
        submission.fail()
    finally:
        os.close(fd)
