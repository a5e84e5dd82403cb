"""qail: read new mail with Mail.

    qail [ argument … ]

Like elq, with the mail reader Mail.

**Security**: runs as the owner of the mailbox; Mail is looked up along PATH.
Source: qmail 1.03's qail.
"""
from .elq import read_with


def main(argv):
    return read_with("qail", b"Mail", argv)
