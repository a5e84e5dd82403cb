"""Sender and birth of messages that have just come: what their info files say, for the first attempt and the end.

Most messages are gone a moment later; so their info files need not be opened twice more. Whoever waits for another
attempt is forgotten here: its info may be changed meanwhile.
"""
from ..queue import envelope

MOST = 1000                         # messages; beyond it files are read


class Known:
    def __init__(self):
        self._known = {}

    def learn(self, number, sender, birth):
        if sender is not None and len(self._known) < MOST:
            self._known[number] = sender, birth

    def info(self, number):
        """As envelope.info()."""
        return self._known.get(number) or envelope.info(number)

    def forget(self, number):
        self._known.pop(number, None)
