"""Refusals of vpopmaild."""


class Reply(Exception):
    """-ERR NUMBER.PLACE TEXT. number: the kind of error; place: a number of its own for where it arose."""

    def __init__(self, number, place, text):
        super().__init__(text.decode("latin-1"))
        self.number, self.place, self.text = number, place, text

    def line(self):
        return b"-ERR %d.%03d %b" % (self.number, self.place, self.text)
