"""Refusals of vpopmaild. Source: vpopmail 5.4."""

#  number  text
TEXTS = {
    1: b"Can't open authentication database", 2: b"Too many actions before login", 3: b"Read Timeout",
    4: b"Invalid Command", 5: b"Too many invalid login attempts", 6: b"Email Address Required",
    7: b"Password Required", 8: b"Invalid Login", 9: b"Not Authorized", 10: b"Invalid Email Address",
    11: b"Not Authorized for domain", 12: b"User does not exist", 13: b"Domain Required", 14: b"Alias Name Required",
    15: b"Invalid Alias Name Supplied", 16: b"Alias Line Required", 17: b"Alias Insertion Failed",
    18: b"Alias Removal Failed", 19: b"Alias Deletion Failed", 20: b"Invalid Directory.  .. not allowed in path",
    21: b"Invalid Directory.  % not allowed in path", 22: b"Invalid Directory.  Do you need a trailing '/'?",
    23: b"Invalid Directory. Found / before @", 24: b"Invalid Directory. Can't parse email address",
    25: b"Invalid Directory. Unknown email address", 26: b"Unauthorized Directory.", 27: b"Directory Required.",
    28: b"Source File Name Required", 29: b"Destination File Name Required", 30: b"Filename Required",
    31: b"Could not open assign file", 32: b"IP Required", 33: b"Not Available", 34: b"Could not get limits",
    35: b"Could not set limits", 36: b"Not Implemented yet",
}


class Reply(Exception):
    """-ERR NUMBER.PLACE TEXT. number: the kind of error, 0 for what has a text of its own; place: a number of its own
    for where it arose."""

    def __init__(self, number, place, text=None):
        self.number, self.place, self.text = number, place, TEXTS[number] if text is None else text
        super().__init__(self.text.decode("latin-1"))

    def line(self):
        return b"-ERR %d.%03d %b" % (self.number, self.place, self.text)


class Plain(Reply):
    """-ERR NNNN TEXT: how the two commands that measure Maildirs refuse."""

    def __init__(self, place, text):
        super().__init__(0, place, text)

    def line(self):
        return b"-ERR %d %b" % (self.place, self.text)


class Silent(Exception):
    """Everything has been answered already."""
