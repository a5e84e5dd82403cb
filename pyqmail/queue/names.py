"""Names below queue/: a message is known by the inode number of its mess file.

mess, info, local and remote are split over 23 subdirectories by that number; pid, intd, todo and
bounce are not. All names are relative to queue/. Source: qmail's INTERNALS.
"""
SPLIT = 23
DIRECTORIES_SPLIT = ("mess", "info", "local", "remote")
DEATH = 86_400       # s; qmail-queue gives up. Must stay below OSSIFIED, or qmail-clean deletes what is still written.
OSSIFIED = 129_600   # s; pid/ and mess/ orphans older than this belong to nobody.
assert DEATH < OSSIFIED

TRIGGER = "lock/trigger"
SENDMUTEX = "lock/sendmutex"
TCPTO = "lock/tcpto"
TCPTO_SIZE = 1024    # bytes


def split(kind, number):
    """mess/12/1001 for ("mess", 1001); kind is one of mess, info, local, remote."""
    return f"{kind}/{number % SPLIT}/{number}"


def flat(kind, number):
    """todo/1001 for ("todo", 1001); kind is one of intd, todo, bounce."""
    return f"{kind}/{number}"
