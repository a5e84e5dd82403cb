"""Giving up privileges: the only place that changes uids.

Every program's docstring says as whom it runs; this is how it gets there. A change that did not
take in every part ends the process before anything else happens.
"""
import os

from .errors import Temporary

HALF_PRIVILEGED = 112               # "Internal qmail-lspawn bug." to whoever waits for us
PR_GET_DUMPABLE, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS, PR_SET_PDEATHSIG = 3, 4, 38, 1


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


class Acting:
    """with Acting(uid, gid): root works with the rights of uid:gid, so that nothing that user put in its way
    (a symbolic link, a directory of somebody else's) leads root astray; new files are that user's. Whoever is
    not root stays who he is, and so does root for uid 0. Ends the process with 112 if it did not take."""

    def __init__(self, uid, gid):
        self._uid, self._gid, self._groups = uid, gid, None

    def __enter__(self):
        if os.geteuid() != 0 or self._uid == 0:
            return
        self._groups = os.getgroups()
        try:
            os.setgroups([self._gid])
            os.setegid(self._gid)
            os.seteuid(self._uid)
        except OSError:
            os._exit(HALF_PRIVILEGED)
        if (os.geteuid(), os.getegid(), os.getgroups()) != (self._uid, self._gid, [self._gid]):
            os._exit(HALF_PRIVILEGED)

    def __exit__(self, *problem):
        if self._groups is None:
            return
        try:
            os.seteuid(0)
            os.setegid(os.getgid())
            os.setgroups(self._groups)
        except OSError:
            os._exit(HALF_PRIVILEGED)


def no_new_privileges():
    """execve never gains rights from here on (set-uid bits are ignored), children included."""
    _prctl(PR_SET_NO_NEW_PRIVS, 1)


def die_with_parent(number):
    """This process gets signal `number` when its parent ends."""
    _prctl(PR_SET_PDEATHSIG, number)


def not_dumpable():
    """No core file, no ptrace and no /proc/PID/mem by others of the same uid."""
    _prctl(PR_SET_DUMPABLE, 0)


def prepare():
    """Have at hand what the functions above need: a process that forks many calls this first."""
    _call(PR_GET_DUMPABLE, 0)


def _prctl(option, value):
    if _call(option, value) != 0:
        from . import libc          # see _call()
        raise OSError(libc.errno(), "prctl")


def _call(option, value):
    from . import libc              # many who come to be somebody need no more than os
    return libc.call("prctl", option, value, 0, 0, 0)
