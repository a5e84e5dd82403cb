"""One-letter options, as all of qmail's programs read them.

    options = Options(argv, b"aAf:")
    for letter, value in options:       # (b"a", None), (b"f", b"joe@a.example")
        ...
    recipients = options.rest

A letter followed by ":" takes a value: the rest of its word, else the next word. "--" ends the
options; a single "-" is an argument, and so is everything after the first argument.
Source: notqmail's programs, as recorded.
"""


class BadOption(Exception):
    """str() is what to say after the program's name: "illegal option -- z"."""

    def __init__(self, problem, letter):
        super().__init__(f"{problem} -- {letter.decode('latin-1')}")
        self.line = b"%b -- %b" % (problem.encode(), letter)


class Options:
    """Iterate for (letter, value or None); raises BadOption. `rest`: the words after the options."""

    def __init__(self, argv, letters):
        self.rest = list(argv)
        self._word = b""                # what is left of the word being read
        self._letters = {bytes((letter,)): letters[at + 1:at + 2] == b":"
                         for at, letter in enumerate(letters) if letter != ord(":")}

    def __iter__(self):
        return self

    def __next__(self):
        if not self._word:
            self._next_word()
        letter, self._word = self._word[:1], self._word[1:]
        if letter not in self._letters:
            raise BadOption("illegal option", letter)
        return letter, self._value(letter) if self._letters[letter] else None

    def _next_word(self):
        if not self.rest or self.rest[0][:1] != b"-" or self.rest[0] == b"-":
            raise StopIteration
        word = self.rest.pop(0)
        if word[:2] == b"--":
            raise StopIteration
        self._word = word[1:]

    def _value(self, letter):
        value, self._word = self._word, b""
        if value:
            return value
        if not self.rest:
            raise BadOption("option requires an argument", letter)
        return self.rest.pop(0)

    def skip_word(self):
        """Ignore the rest of the word the last letter stood in."""
        self._word = b""
