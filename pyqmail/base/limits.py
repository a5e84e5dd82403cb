"""What a process may have of the system: descriptors, memory, processes, core files.

These are for what goes wrong, not for what is much: who comes up against one has a temporary trouble. Descriptors follow
from how much a program does at once. qmail-lspawn and qmail-local hand on what they have to users' commands,
so they set nothing; qmail-send's memory grows with the queue. Processes are counted by uid, threads like processes.
"""
import resource

MEBI = 1 << 20
TABLE = {                           # program: bytes of data, None for any number; processes of its uid
    "qmail-send": (None, 5000), "qmail-rspawn": (1024 * MEBI, 5000), "qmail-lspawn look-ups": (1024 * MEBI, 5000),
    "qmail-clean": (256 * MEBI, 5000), "qmail-queue": (1024 * MEBI, 5000), "qmail-log": (256 * MEBI, 5000),
    "qmail-smtpd": (1024 * MEBI, 5000), "qmail-qmtpd": (1024 * MEBI, 5000), "qmail-popup": (1024 * MEBI, 5000),
    "qmail-pop3d": (1024 * MEBI, 5000), "qmail-rcptcheck": (1024 * MEBI, 5000), "authdaemond": (1024 * MEBI, 5000),
    "qmail-qmqpd": (1024 * MEBI, 5000), "qmail-remote": (1024 * MEBI, 5000), "vpopmaild": (1024 * MEBI, 5000),
    "qmail-qmqpc": (2048 * MEBI, 5000),         # it has the whole message in memory, up to 1 GB
    "splogger": (256 * MEBI, 5000),
}


def descriptors(wanted):
    """Raise the soft limit of open descriptors to `wanted`, with the hard one if that is lower and we are root; else as
    far as the hard one allows. Returns what it is now, at most `wanted`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or wanted <= soft:
        return wanted
    if hard != resource.RLIM_INFINITY and hard < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
            return wanted
        except (ValueError, OSError):   # not root, or more than any process of this machine may have
            wanted = hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def enter(program):
    """From here on this process, and what it starts, has no more than TABLE says, nor writes a core file: there would be
    mail in it, or a password. What an administrator has set lower stays as it is."""
    memory, processes = TABLE[program]
    for which, most in ((resource.RLIMIT_DATA, memory), (resource.RLIMIT_NPROC, processes), (resource.RLIMIT_CORE, 0)):
        if most is not None:
            lowest = min([most, *(limit for limit in resource.getrlimit(which) if limit != resource.RLIM_INFINITY)])
            resource.setrlimit(which, (lowest, lowest))
