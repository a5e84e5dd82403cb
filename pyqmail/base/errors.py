"""Two kinds of error, told apart everywhere, and qmail's words for the system's errors.

`Temporary` means "try again later": exit 111, report Z, reply 4xx. `Permanent` means "will
never work": exit 100, report D, reply 5xx. Whatever is neither (a full disk, no memory, a bug)
is temporary: the mail waits.
Source: qmail's error_str and error_temp, as recorded.
"""
import errno
import os
import sys

TEMPORARY, PERMANENT = 111, 100


class Temporary(Exception):
    """Try again later: exit 111, report Z, reply 4xx."""


class Permanent(Exception):
    """Will never work: exit 100, report D, reply 5xx."""


WORDS = {
    "EPERM": "permission denied",
    "ENOENT": "file does not exist",
    "ESRCH": "no such process",
    "EINTR": "interrupted system call",
    "EIO": "input/output error",
    "ENXIO": "device not configured",
    "E2BIG": "argument list too long",
    "ENOEXEC": "exec format error",
    "EBADF": "file descriptor not open",
    "ECHILD": "no child processes",
    "EAGAIN": "temporary failure",
    "ENOMEM": "out of memory",
    "EACCES": "access denied",
    "EFAULT": "bad address",
    "ENOTBLK": "not a block device",
    "EBUSY": "device busy",
    "EEXIST": "file already exists",
    "EXDEV": "cross-device link",
    "ENODEV": "device does not support operation",
    "ENOTDIR": "not a directory",
    "EISDIR": "is a directory",
    "EINVAL": "invalid argument",
    "ENFILE": "system cannot open more files",
    "EMFILE": "process cannot open more files",
    "ENOTTY": "not a tty",
    "ETXTBSY": "text busy",
    "EFBIG": "file too big",
    "ENOSPC": "out of disk space",
    "ESPIPE": "unseekable descriptor",
    "EROFS": "read-only file system",
    "EMLINK": "too many links",
    "EPIPE": "broken pipe",
    "EDOM": "input out of range",
    "ERANGE": "output out of range",
    "EDEADLK": "operation would cause deadlock",
    "ENAMETOOLONG": "file name too long",
    "ENOLCK": "no locks available",
    "ENOSYS": "system call not available",
    "ENOTEMPTY": "directory not empty",
    "ELOOP": "symbolic link loop",
    "ENOMSG": "no message of desired type",
    "EIDRM": "identifier removed",
    "ENOSTR": "not a stream device",
    "ETIME": "timer expired",
    "ENOSR": "out of stream resources",
    "ENONET": "machine not on network",
    "EREMOTE": "too many levels of remote in path",
    "ENOLINK": "link severed",
    "EADV": "advertise error",
    "ESRMNT": "srmount error",
    "ECOMM": "communication error",
    "EPROTO": "protocol error",
    "EMULTIHOP": "multihop attempted",
    "EBADMSG": "bad message type",
    "EREMCHG": "remote address changed",
    "EUSERS": "too many users",
    "ENOTSOCK": "not a socket",
    "EDESTADDRREQ": "destination address required",
    "EMSGSIZE": "message too long",
    "EPROTOTYPE": "incorrect protocol type",
    "ENOPROTOOPT": "protocol not available",
    "EPROTONOSUPPORT": "protocol not supported",
    "ESOCKTNOSUPPORT": "socket type not supported",
    "EOPNOTSUPP": "operation not supported",
    "EPFNOSUPPORT": "protocol family not supported",
    "EAFNOSUPPORT": "address family not supported",
    "EADDRINUSE": "address already used",
    "EADDRNOTAVAIL": "address not available",
    "ENETDOWN": "network down",
    "ENETUNREACH": "network unreachable",
    "ENETRESET": "network reset",
    "ECONNABORTED": "connection aborted",
    "ECONNRESET": "connection reset",
    "ENOBUFS": "out of buffer space",
    "EISCONN": "already connected",
    "ENOTCONN": "not connected",
    "ESHUTDOWN": "socket shut down",
    "ETOOMANYREFS": "too many references",
    "ETIMEDOUT": "timed out",
    "ECONNREFUSED": "connection refused",
    "EHOSTDOWN": "host down",
    "EHOSTUNREACH": "host unreachable",
    "EALREADY": "operation already in progress",
    "EINPROGRESS": "operation in progress",
    "ESTALE": "stale NFS file handle",
    "EDQUOT": "disk quota exceeded",
}
TEXTS = {getattr(errno, name): text for name, text in WORDS.items() if hasattr(errno, name)}
UNKNOWN = "unknown error"

# Errors that may go away by themselves; all others are taken as permanent where qmail asks.
PASSING = frozenset(getattr(errno, name) for name in (
    "EINTR", "ENOMEM", "ETXTBSY", "EIO", "ETIMEDOUT", "EAGAIN", "EWOULDBLOCK", "EDEADLK", "EBUSY", "ENFILE",
    "EMFILE", "EFBIG", "ENOSPC", "ENETDOWN", "ENETUNREACH", "ENETRESET", "ECONNABORTED", "ECONNRESET", "ENOBUFS",
    "ETOOMANYREFS", "ECONNREFUSED", "EHOSTDOWN", "EHOSTUNREACH", "EUSERS", "ESTALE", "EDQUOT", "ENOLCK"))


def text(error):
    """qmail's words for an OSError or an errno: "file does not exist"; never an empty string."""
    number = error.errno if isinstance(error, OSError) else error
    return TEXTS.get(number, UNKNOWN)


def passing(error):
    """True if the OSError may go away by itself (qmail's error_temp)."""
    return error.errno in PASSING


def say(*parts):
    """One line on descriptor 2; parts are str or bytes. Never raises: there is nobody left to tell."""
    line = b"".join(part if isinstance(part, bytes) else os.fsencode(part) for part in parts) + b"\n"
    try:
        os.write(2, line)
    except OSError:
        pass


def arguments():
    """The command line as bytes, without the program's name."""
    return [os.fsencode(word) for word in sys.argv[1:]]


def run(main):
    """Carry out main(argv) with argv as bytes, then end the process with its status, 0 for None.

    An exception that main lets through is one line on descriptor 2 and 100 for `Permanent`, 111
    for everything else. The process ends without interpreter shutdown: what a program wrote, it
    wrote with os.write.
    """
    name = os.path.basename(sys.argv[0])
    moved = sys._xoptions.get("stdin")
    if moved:                       # the launcher kept descriptor 0, a directory, from the interpreter
        os.dup2(int(moved), 0)
        os.close(int(moved))
    try:
        status = main(arguments()) or 0
    except Permanent as why:
        say(name, ": fatal: ", str(why))
        status = PERMANENT
    except Temporary as why:
        say(name, ": fatal: ", str(why))
        status = TEMPORARY
    except OSError as why:
        say(name, ": fatal: ", f"{why.filename!r}: " if why.filename else "", text(why), where(why))
        status = TEMPORARY
    except KeyboardInterrupt:
        status = TEMPORARY
    except Exception as why:        # a bug, no memory: the mail waits
        say(name, ": fatal: ", unforeseen(why))
        status = TEMPORARY
    os._exit(status)


def unforeseen(why):
    """An exception that nobody expected, in one line: "KeyError: 'me' (service.py:70)"."""
    return f"{type(why).__name__}: {why}"[:500].replace("\n", " ") + where(why)


def where(why):
    """The innermost place of an exception, for the one line of the log."""
    step = why.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    return f" ({os.path.basename(step.tb_frame.f_code.co_filename)}:{step.tb_lineno})" if step else ""
