"""Address lists of header fields: finding the addresses, putting other ones in their places.

Lists are read from right to left, which needs no looking ahead: `phrase <address>`, `name: list;`,
addresses separated by commas or, where a comma was forgotten, by white space. Comments keep out of
addresses, except inside angle brackets. Source: RFC 822 section 6.1, qmail-header(5), notqmail as recorded.
"""
from .tokens import ATOM, COMMA, COMMENT, LITERAL, QUOTED, Unparsable

PHRASE = frozenset((COMMENT, ATOM, QUOTED, "@", "."))


def rewrite_list(tokens, rewrite):
    """The tokens of an address list with each address replaced by rewrite(its tokens).

    rewrite is called for the last address first. Forgotten commas are put in. Raises Unparsable for
    a list with unbalanced brackets or group marks, and then rewrite has been called for what
    stands to the right of the trouble.
    """
    return _List(tokens, rewrite).result()


class _List:
    """A list on its way; everything collected here is in reading order, right to left."""

    def __init__(self, tokens, rewrite):
        self._rest, self._rewrite = list(tokens), rewrite
        self._done, self._address = [], []
        self._in_group = False
        self._word_fits = True      # a word here is part of the address; else it is the end of another one

    def result(self):
        while self._rest:
            self.STEPS.get(self._rest[-1][0], _List._part)(self)
        self._finish()
        self._done.reverse()
        return self._done

    def _finish(self, comma=False):
        """The address collected so far is complete; comma: another one stood in front without one."""
        if self._address:
            self._put_address()
            if comma:
                self._done.append(COMMA)

    def _put_address(self):
        self._address.reverse()
        self._done.extend(reversed(self._rewrite(self._address)))
        self._address = []

    def _copy(self):
        self._done.append(self._rest.pop())

    def _part(self):
        self._address.append(self._rest.pop())
        self._word_fits = True

    def _word(self):
        if not self._word_fits:
            self._finish(comma=True)
        self._address.append(self._rest.pop())
        self._word_fits = False

    def _comma(self):
        self._finish()
        self._copy()
        self._word_fits = True

    def _group_end(self):
        self._finish(comma=True)
        if self._in_group:
            raise Unparsable
        self._copy()
        self._in_group = self._word_fits = True

    def _group_start(self):
        """The colon, the group's name, and the comma before it."""
        self._finish()
        if not self._in_group:
            raise Unparsable
        while self._rest and self._rest[-1][0] != ",":
            self._copy()
        if self._rest:
            self._copy()
        self._in_group, self._word_fits = False, True

    def _bracket(self):
        """Everything back to the opening bracket is one address, even nothing; then the phrase."""
        self._finish(comma=True)
        self._copy()
        while self._rest and self._rest[-1][0] != "<":
            self._address.append(self._rest.pop())
        self._put_address()
        if not self._rest:
            raise Unparsable
        self._copy()
        while self._rest and self._rest[-1][0] in PHRASE:
            self._copy()
        self._word_fits = False

    STEPS = {",": _comma, ";": _group_end, ":": _group_start, ">": _bracket, COMMENT: _copy,
             ATOM: _word, QUOTED: _word, LITERAL: _word}
