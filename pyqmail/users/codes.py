"""Why a delivery could not be started: the exit codes between qmail-getpw, qmail-local and qmail-lspawn.

The process that becomes qmail-local, qmail-getpw, and the look-up all speak these numbers; qmail-lspawn
alone turns them into reports. Source: qmail-lspawn, qmail-getpw(8).
"""
BUG = 112               # no home, bad look-up data, ids that do not take
ROOT = 113              # uid 0
NFS = 115               # a home could not be looked at now
NO_ALIAS = 116          # there is no user alias
CDB = 117               # users/cdb cannot be read
SYSTEM = 118            # out of processes, descriptors; a look-up that died
MEMORY = 119
EXECUTE_LATER = 120     # qmail-local cannot be run now
NO_GETPW = 121          # qmail-getpw cannot be run
EXECUTE_NEVER = 126     # qmail-local cannot be run


class Undecided(Exception):
    """Nobody can say who controls an address. `code` is one of the numbers above."""

    def __init__(self, code):
        super().__init__(code)
        self.code = code
