"""What the environment tells qmail-inject about the user: names, hosts, ways to do it.
Source: qmail-inject(8).
"""
from ..base import address

ANONYMOUS = b"anonymous"


def first(environ, *names):
    """The value of the first of these variables that is set, even if it is empty; else None."""
    return next((environ[name] for name in names if name in environ), None)


class Identity:
    """The user, from a dict of bytes.

    user, host: of the From field that is made; host is None for the default host.
    sender_user, sender_host: the same of the envelope sender that is made.
    full_name: the personal name, or None.
    The letters of QMAILINJECT: name_in_comment (c), per_recipient (r), per_message (m), and `deleted`,
    the names of the fields to take away from the message (s, f, i).
    """

    def __init__(self, environ):
        self.user = first(environ, b"QMAILUSER", b"MAILUSER", b"USER", b"LOGNAME")
        if self.user is None:
            self.user = ANONYMOUS
        self.host = first(environ, b"QMAILHOST", b"MAILHOST")
        self.full_name = first(environ, b"QMAILNAME", b"MAILNAME", b"NAME")
        self.sender_user = environ.get(b"QMAILSUSER", self.user)
        self.sender_host = environ.get(b"QMAILSHOST", self.host)
        letters = environ.get(b"QMAILINJECT", b"")
        self.name_in_comment = b"c" in letters
        self.per_recipient, self.per_message = b"r" in letters, b"m" in letters
        self.deleted = frozenset(name for letter, name in DELETIONS if letter in letters)

    def user_needs_quotes(self):
        """True if the user's name is to be written as a quoted string."""
        return address.needs_quotes(self.user)


DELETIONS = ((b"s", b"return-path"), (b"f", b"from"), (b"i", b"message-id"))
