"""except: invert the exit code of a program.

    except program [ arg ... ]

Used in .qmail. Runs the program. Exits 100 if it exits 0, 111 if it exits 111 or crashes, and 0 in all
other cases.
**Security**: runs as the user whose .qmail names it.
Source: except(1).
"""
from ..base import errors, verdict


def main(argv):
    if not argv:
        errors.say("except: usage: except program [ arg ... ]")
        return errors.PERMANENT
    return errors.PERMANENT if verdict.agrees(argv) else 0
