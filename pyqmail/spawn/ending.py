"""How a local delivery ended, as qmail-send is told.

Source: qmail-lspawn(8) and its recorded reports.
"""
from ..users import codes

OUTPUT_MAX = 3000                   # bytes
CUT = b"\nError report too long, sorry.\n"
OUTPUT_KEPT = OUTPUT_MAX - len(CUT) - 3

DONE = b"K"
CRASHED = b"Zqmail-local crashed.\n"
REPORTS = {
    codes.BUG: b"ZInternal qmail-lspawn bug.\n",
    codes.ROOT: b"ZNot allowed to perform deliveries as root.\n",
    codes.NFS: b"ZNFS failure in qmail-local.\n",
    codes.NO_ALIAS: b"ZUnable to find alias user!\n",
    codes.CDB: b"ZTrouble reading users/cdb in qmail-lspawn.\n",
    codes.SYSTEM: b"ZTemporary failure in qmail-lspawn.\n",
    codes.MEMORY: b"ZOut of memory in qmail-lspawn.\n",
    codes.EXECUTE_LATER: b"ZUnable to run qmail-local.\n",
    codes.NO_GETPW: b"ZUnable to run qmail-getpw.\n",
    codes.EXECUTE_NEVER: b"DUnable to run qmail-local.\n",
}
LETTERS = {0: b"K", 111: b"Z", 71: b"Z", 74: b"Z", 75: b"Z"}     # all other codes: D


def report(status, text):
    """The text of a report. status: qmail-local's exit code, negative for a signal. text: what it and its commands
    said, from Output."""
    if status < 0:
        return CRASHED
    if status in REPORTS:
        return REPORTS[status]
    return LETTERS.get(status, b"D") + text


class Output:
    """What a delivery and its commands wrote: at most OUTPUT_MAX bytes of it are kept."""

    __slots__ = ("_kept",)

    def __init__(self):
        self._kept = bytearray()

    def add(self, data):
        self._kept += data[:OUTPUT_MAX + 1 - len(self._kept)]

    def text(self):
        """All of it, bounded()."""
        return bounded(bytes(self._kept))


def bounded(text):
    """Everything up to the first NUL, with a note if there was too much."""
    return (text if len(text) <= OUTPUT_MAX else text[:OUTPUT_KEPT] + CUT).partition(b"\0")[0]
