"""pinq: read new mail with pine.

    pinq [ argument … ]

Like elq, with the mail reader pine.

**Security**: runs as the owner of the mailbox; pine is looked up along PATH.
Source: qmail 1.03's pinq.
"""
from .elq import read_with


def main(argv):
    return read_with("pinq", b"pine", argv)
