"""hostname: print the name of this machine, as the kernel has it.

    hostname

Exit code 0.

**Security**: runs as its caller and reads nothing. Source: hostname of qmail's distribution.
"""
import os

from ..base import netio


def main(argv):
    netio.write_all(1, os.fsencode(os.uname().nodename) + b"\n")
