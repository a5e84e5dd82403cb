"""qmail-inject: preprocess and send a mail message.

    qmail-inject [ -nNaAhH ] [ -fsender ] [ recip ... ]

Reads a message from descriptor 0, adds to its header what is missing, completes the addresses in it,
and hands it to qmail-queue.

    -a        send it to the recipients named as arguments
    -h        send it to the recipients named in the header (To Cc Bcc Apparently-To, or Resent-…)
    -A        (usual) -a if there are arguments, else -h
    -H        both
    -fsender  the envelope sender, before Return-Path and all variables
    -n, -N    print the message instead of queueing it; (usual) queue it

Environment: QMAILUSER MAILUSER USER LOGNAME, QMAILHOST MAILHOST, QMAILNAME MAILNAME NAME (first one set
counts), QMAILSUSER, QMAILSHOST, QMAILINJECT (letters c s f i r m), QMAILMFTFILE, QMAILDEFAULTDOMAIN,
QMAILDEFAULTHOST, QMAILPLUSDOMAIN, QMAILIDHOST, QMAILQUEUE.
Control files: defaultdomain, defaulthost, plusdomain, idhost, for all of them me.
Exit codes: 0 queued, 100 bad usage, a field that cannot be parsed or permanent refusal by qmail-queue,
111 temporary error. All complaints go to descriptor 2.

**Security**: runs as the user who calls it and trusts nothing; reads that user's message. The header is
kept in memory up to a limit, the body is passed on in pieces.
Source: qmail-inject(8), qmail-header(5).
"""
from ..base import child
from ..inject.injection import inject


def main(argv):
    return inject(argv, child.environment())
