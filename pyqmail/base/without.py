"""Importing a library without a part of it that nobody here uses.

    with Without("ssl"):
        import asyncio

asyncio and dnspython take the absence of ssl for a Python built without it: 2 MB less in each process that speaks
no TLS. Afterwards it can be imported as ever.
"""
import sys


class Without:
    """names: modules that cannot be imported within; one that has been imported already stays."""

    def __init__(self, *names):
        self._names = [name for name in names if name not in sys.modules]

    def __enter__(self):
        for name in self._names:
            sys.modules[name] = None

    def __exit__(self, *_):
        for name in self._names:
            del sys.modules[name]
