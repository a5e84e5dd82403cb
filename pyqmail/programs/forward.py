"""forward: forward new mail to one or more addresses.

    forward address ...

Used in .qmail. Queues the message on descriptor 0, the line DTLINE in front of it, with the envelope
sender NEWSENDER, for the addresses as they are given. Says the queue's number of the message on
descriptor 2. Exit codes: 0 queued, 100 NEWSENDER or DTLINE is not set or permanent refusal, 111 temporary error.
**Security**: runs as the user whose .qmail names it; the message comes from strangers and is not looked at.
Source: forward(1).
"""
from ..base import child, errors
from ..inject.forwarding import hand_on, needed


def main(argv):
    environ = child.environment()
    sender, line = needed(environ, b"NEWSENDER"), needed(environ, b"DTLINE")
    errors.say("forward: qp ", str(hand_on(line, sender, argv, environ)))
