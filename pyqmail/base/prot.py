"""Giving up privileges: the only place that changes uids.

Every program's docstring says as whom it runs; this is how it gets there. A change that did not
take in every part ends the process before anything else happens.
"""
import os

from .errors import Temporary

HALF_PRIVILEGED = 112               # "Internal qmail-lspawn bug." to whoever waits for us
PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS, PR_SET_PDEATHSIG = 4, 38, 1


def become(uid, gid, groups=None):
    """Be uid:gid with exactly `groups` ([gid] when None) for good.

    Raises Temporary for uid 0: root is never a mail user. If any part fails, or did not take, the
    process ends with status 112 here and now. A process that already is uid (a private home)
    only checks.
    """
    if uid == 0:
        raise Temporary("not allowed to deliver as root")
    groups = sorted({gid} if groups is None else {gid, *groups})
    if os.getresuid() == (uid,) * 3 and os.getuid() != 0:
        return                      # nothing to give up, and no right to change groups
    try:
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    except OSError:
        os._exit(HALF_PRIVILEGED)
    if os.getresuid() != (uid,) * 3 or os.getresgid() != (gid,) * 3 or sorted(os.getgroups()) != groups:
        os._exit(HALF_PRIVILEGED)


def as_root_with(gid):
    """Stay root, with `gid` as the only group: qmail-lspawn."""
    if os.geteuid() == 0:
        os.setgroups([gid])
        os.setresgid(gid, gid, gid)


def no_new_privileges():
    """execve never gains rights from here on (set-uid bits are ignored), children included."""
    _prctl(PR_SET_NO_NEW_PRIVS, 1)


def die_with_parent(number):
    """This process gets signal `number` when its parent ends."""
    _prctl(PR_SET_PDEATHSIG, number)


def not_dumpable():
    """No core file, no ptrace and no /proc/PID/mem by others of the same uid."""
    _prctl(PR_SET_DUMPABLE, 0)


def _prctl(option, value):
    import ctypes                   # 2-7 ms: only long-lived programs come here
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
