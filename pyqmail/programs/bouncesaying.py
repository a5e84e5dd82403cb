"""bouncesaying: perhaps bounce each incoming message.

    bouncesaying error [ program [ arg ... ] ]

Used in .qmail. Says `error` and exits 100, which bounces the message, if there is no program or if it
exits 0. Exits 111 if the program exits 111 or crashes, and 0 in all other cases.
**Security**: runs as the user whose .qmail names it.
Source: bouncesaying(1).
"""
from ..base import errors, verdict


def main(argv):
    if not argv:
        errors.say("bouncesaying: usage: bouncesaying error [ program [ arg ... ] ]")
        return errors.PERMANENT
    if argv[1:] and not verdict.agrees(argv[1:]):
        return 0
    errors.say(argv[0])
    return errors.PERMANENT
