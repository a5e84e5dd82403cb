"""Stops processes at their system calls, and lets one of them die, or one call fail.

    tracer.py [--new | --own] [--log] [--at N] [--error NAME] [--call PATTERN] [--every] [--together] PID ...

Counts the system calls of the processes PID, of all their threads together in the order in which they
come, and of the processes they fork from now on (--new: of these only; --own: not of these). --at N: the process that
is about to do call N is killed there, with --together all PID; the call is not done. --error NAME: that call fails with
this errno instead, and only calls that can fail so are counted (FAILING). --call: only calls that this
regular expression finds something in are counted. --every: each call counted is struck. --log: each is noted.

Says "ready" when it counts, "hit CALL" when N has come, and at the end of its standard input "calls COUNT",
before that one line for each with --log, "call CALL", or "same CALL" if a death there is the same as one at the
call before it: see Looks. Then it lets go. CALL is the name and what it is
done to: "unlink todo/1001". Calls that nobody else can notice (memory, waiting for a thread, the clock) are not
counted.

strace has the same injections, but counts them for each call and thread by itself; to die
at every step of a program with threads, its calls must be counted in one row. Needs ptrace and x86-64.
"""
import ctypes
import errno
import os
import re
import signal
import struct
import sys

SYSCALL, DETACH, PEEKUSER, POKEUSER, GETEVENTMSG, SEIZE, INTERRUPT, LISTEN, SYSCALL_INFO = (
    24, 17, 3, 6, 0x4201, 0x4206, 0x4207, 0x4208, 0x420e)
SYSGOOD, FORK, VFORK, CLONE, EXEC = 1, 2, 4, 8, 16
EVENT_FORK, EVENT_VFORK, EVENT_CLONE, EVENT_STOP = 1, 2, 3, 128
ENTRY, EXIT = 1, 2
RAX, ORIG_RAX = 10 * 8, 15 * 8      # in struct user
WALL = 0x40000000
INFO = struct.Struct("=B23x7Q")     # struct ptrace_syscall_info: op; of an entry the call's number and arguments

NAMES = {number: name for name, number in (pair.split(":") for pair in """
read:0 write:1 open:2 close:3 stat:4 fstat:5 lstat:6 poll:7 lseek:8 ioctl:16 pread64:17 pwrite64:18 readv:19 writev:20
access:21 pipe:22 select:23 dup:32 dup2:33 alarm:37 socket:41 connect:42 accept:43 sendto:44 recvfrom:45 sendmsg:46
recvmsg:47 shutdown:48 bind:49 listen:50 getsockname:51 getpeername:52 socketpair:53 setsockopt:54 getsockopt:55
clone:56
fork:57 vfork:58 execve:59 exit:60 wait4:61 kill:62 uname:63 fcntl:72 flock:73 fsync:74 fdatasync:75 truncate:76
ftruncate:77 getcwd:79 chdir:80 fchdir:81 rename:82 mkdir:83 rmdir:84 creat:85 link:86 unlink:87 symlink:88
readlink:89 chmod:90 fchmod:91 chown:92 fchown:93 umask:95 setuid:105 setgid:106 setgroups:116 setresuid:117
setresgid:119
statfs:137 fstatfs:138 prctl:157 setrlimit:160 getdents64:217 exit_group:231 epoll_wait:232 epoll_ctl:233 openat:257
mkdirat:258 fchownat:260 newfstatat:262 unlinkat:263 renameat:264 linkat:265 readlinkat:267 faccessat:269 ppoll:271
sync_file_range:277 utimensat:280 epoll_pwait:281 signalfd4:289 eventfd2:290 epoll_create1:291 dup3:292 pipe2:293
accept4:288 prlimit64:302 renameat2:316 getrandom:318 statx:332 pidfd_open:434 clone3:435 close_range:436
openat2:437 faccessat2:439""".split())}
NAMES = {int(number): name for number, name in NAMES.items()}

# Nobody outside sees these: dying before or after one is the same.
SILENT = {9, 10, 11, 12, 13, 14, 15, 24, 25, 28, 39, 96, 98, 99, 102, 104, 107, 108, 110, 118, 120, 127, 128, 131,
          158, 186,
          201, 202, 203, 204, 218, 219, 228, 229, 230, 273, 302, 309, 318, 324, 334}
PATHS = {"open": 0, "stat": 0, "lstat": 0, "access": 0, "execve": 0, "truncate": 0, "chdir": 0, "rename": 1, "mkdir": 0,
         "rmdir": 0, "creat": 0, "link": 1, "unlink": 0, "readlink": 0, "chmod": 0, "chown": 0, "openat": 1,
         "mkdirat": 1, "fchownat": 1, "newfstatat": 1, "unlinkat": 1, "renameat": 3, "linkat": 3, "readlinkat": 1,
         "faccessat": 1, "utimensat": 1, "renameat2": 3, "statx": 1, "openat2": 1, "faccessat2": 1, "statfs": 0}
FDS = {"read", "write", "close", "fstat", "lseek", "ioctl", "pread64", "pwrite64", "readv", "writev", "fcntl",
       "flock", "fsync", "fdatasync", "ftruncate", "fchdir", "fchmod", "fchown", "fstatfs", "getdents64",
       "sync_file_range", "sendto", "recvfrom", "sendmsg", "recvmsg", "accept4", "shutdown"}

# Which calls can fail how. Those with a descriptor only where it is a file's: no disk is behind a pipe.
ON_FILES = {"write", "writev", "pwrite64", "fsync", "fdatasync", "sync_file_range", "ftruncate", "read", "pread64",
            "getdents64"}
FULL = {"write", "writev", "pwrite64", "link", "linkat", "rename", "renameat", "renameat2", "mkdir", "mkdirat", "fsync",
        "fdatasync", "openat", "open", "creat", "sync_file_range"}
FAILING = {
    "ENOSPC": FULL, "EDQUOT": FULL,
    "EIO": FULL | {"read", "pread64", "unlink", "unlinkat", "stat", "newfstatat", "getdents64", "utimensat"},
    "EMFILE": {"open", "openat", "creat", "socket", "socketpair", "pipe", "pipe2", "accept4", "dup", "epoll_create1",
               "recvmsg",
               "eventfd2", "pidfd_open"},
    "EAGAIN": {"clone", "clone3", "fork", "vfork"},
    "ENOMEM": {"clone", "clone3", "fork", "vfork", "openat", "open", "execve"},
}
CREATE = os.O_CREAT | os.O_TRUNC

# Calls that change nothing outside the process: what they find out, or make of its own, dies with it. None that waits:
# the others go on meanwhile.
LOOKING = {"stat", "lstat", "newfstatat", "statx", "access", "faccessat", "faccessat2", "readlink", "readlinkat",
           "getcwd", "fstat", "lseek", "ioctl", "getdents64", "uname", "statfs", "fstatfs", "chdir", "fchdir", "umask",
           "epoll_ctl", "epoll_create1", "eventfd2", "pipe", "pipe2", "socket", "socketpair", "dup", "getsockname",
           "getpeername", "getsockopt", "setsockopt", "getrandom", "prlimit64", "setrlimit", "pidfd_open"}
LOOKING_AT_FILES = {"read", "pread64", "close"}
FIFO = "/lock/trigger"              # a file whose opening and closing others notice

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


def ptrace(request, tid, address=0, data=0):
    result = libc.ptrace(request, tid, address, data)
    if result < 0 and (number := ctypes.get_errno()):
        raise OSError(number, os.strerror(number))
    return result


class Looks:
    """Which deaths are the same: after a call that only looks, the process can die at the next one as well, and whoever
    is left sees the same. So of several such calls of a process in a row one stands for all, and for the call
    after them, at which it dies before it is done."""

    def __init__(self):
        self._looked = set()        # pids whose last call was one that only looks

    def same(self, pid, name, arguments):
        """Whether a death before this call is as one before the last call of the process."""
        found = pid in self._looked
        (self._looked.add if looks(pid, name, arguments) else self._looked.discard)(pid)
        return found


def looks(pid, name, arguments):
    if name in LOOKING_AT_FILES:
        what = target(pid, arguments[0])
        return what.startswith("/") and not what.endswith(FIFO)
    if name in ("open", "openat"):
        at = PATHS[name]
        return not arguments[at + 1] & (CREATE | os.O_ACCMODE) and not text(pid, arguments[at]).endswith(FIFO[1:])
    return name in LOOKING


class Tracer:
    def __init__(self, pids, at=0, error=None, only_new=False, only_own=False, log=False, pattern=None, every=False,
                 together=False):
        self.pattern, self.every, self.together = pattern and re.compile(pattern), every, together
        self.at, self.error, self.only_new, self.only_own, self.log = at, error, only_new, only_own, [] if log else None
        self.looks = Looks()
        self.count, self.first, self.waited_for, self.failing = 0, set(pids), set(), set()
        self.armed = self.hit = False
        self.groups = {}            # thread: its process
        self.bell = os.fork()
        if not self.bell:
            while os.read(0, 1):    # whoever waits for us as well as for threads must wait for children only
                pass
            os._exit(0)
        for pid in pids:
            for tid in map(int, os.listdir(f"/proc/{pid}/task")):
                ptrace(SEIZE, tid, 0, SYSGOOD | FORK | VFORK | CLONE | EXEC)
                ptrace(INTERRUPT, tid)
                self.waited_for.add(tid)
                self.groups[tid] = pid

    def run(self):
        while True:
            tid, status = os.waitpid(-1, WALL)
            if tid == self.bell:
                return
            if os.WIFSTOPPED(status):
                try:
                    self.stopped(tid, os.WSTOPSIG(status), status >> 16)
                except ProcessLookupError:
                    pass            # killed meanwhile
            if tid in self.waited_for:
                self.waited_for.discard(tid)
                if not self.waited_for:
                    self.armed = True
                    say("ready")

    def stopped(self, tid, number, event):
        if number == signal.SIGTRAP | 0x80:
            self.call(tid)
        elif event in (EVENT_FORK, EVENT_VFORK, EVENT_CLONE):
            new = ctypes.c_ulong()
            ptrace(GETEVENTMSG, tid, 0, ctypes.addressof(new))
            self.groups.setdefault(new.value, self.group(new.value))
        elif event == EVENT_STOP and number in (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU):
            ptrace(LISTEN, tid)
            return
        elif not event:
            ptrace(SYSCALL, tid, 0, number)
            return
        ptrace(SYSCALL, tid)

    def group(self, tid):
        if tid not in self.groups:
            try:
                with open(f"/proc/{tid}/status", encoding="utf-8", errors="replace") as f:
                    self.groups[tid] = next(int(line.split()[1]) for line in f if line.startswith("Tgid:"))
            except OSError:
                return tid
        return self.groups[tid]

    def call(self, tid):
        data = ctypes.create_string_buffer(INFO.size)
        ptrace(SYSCALL_INFO, tid, INFO.size, ctypes.addressof(data))
        kind, number, *arguments = INFO.unpack(data.raw)
        if kind == EXIT and tid in self.failing:
            self.failing.discard(tid)
            ptrace(POKEUSER, tid, RAX, -getattr(errno, self.error))
        if kind != ENTRY or not self.armed or number in SILENT:
            return
        pid = self.group(tid)
        if self.only_new and pid in self.first or self.only_own and pid not in self.first:
            return
        name = NAMES.get(number, f"call {number}")
        if self.error and not self.can_fail(pid, name, arguments):
            return
        call = describe(pid, name, arguments) if self.pattern else None
        if call is not None and not self.pattern.search(call):
            return
        self.count += 1
        wanted = self.count == self.at or self.every
        if not wanted and self.log is None:
            return
        call = call or describe(pid, name, arguments)
        if self.log is not None:
            same = not self.error and self.looks.same(pid, name, arguments)
            self.log.append(f"{'same' if same else 'call'} {call}")
        if wanted and self.error:
            ptrace(POKEUSER, tid, ORIG_RAX, -1)
            self.failing.add(tid)
            say(f"hit {call}")
        elif wanted:
            for victim in self.first if self.together else (pid,):
                os.kill(victim, signal.SIGKILL)
            say(f"hit {call}")

    def can_fail(self, pid, name, arguments):
        if name not in FAILING[self.error]:
            return False
        if name in ON_FILES:
            return target(pid, arguments[0]).startswith("/") and not target(pid, arguments[0]).startswith("/dev/")
        if name in ("open", "openat") and self.error in ("ENOSPC", "EDQUOT"):
            return bool(arguments[PATHS[name] + 1] & CREATE)
        return True


def describe(pid, name, arguments):
    if name in PATHS:
        what = text(pid, arguments[PATHS[name]])
    elif name in FDS:
        what = target(pid, arguments[0])
    else:
        what = ""
    return f"{name} {what}".replace("\n", "?")


def text(pid, address):
    try:
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as f:
            f.seek(address)
            return f.read(200).partition(b"\0")[0].decode("utf-8", "replace")
    except (OSError, ValueError, OverflowError):
        return "?"


def target(pid, fd):
    try:
        return os.readlink(f"/proc/{pid}/fd/{fd & 0xffffffff}")
    except OSError:
        return "?"


def say(line):
    os.write(1, line.encode() + b"\n")


FLAGS = {"--new": "only_new", "--own": "only_own", "--log": "log", "--every": "every", "--together": "together"}
VALUES = {"--at": "at", "--error": "error", "--call": "pattern"}


def main(words):
    pids, options = [], {}
    while words:
        word = words.pop(0)
        if word in FLAGS:
            options[FLAGS[word]] = True
        elif word in VALUES:
            options[VALUES[word]] = words.pop(0)
        else:
            pids.append(int(word))
    tracer = Tracer(pids, at=int(options.pop("at", 0)), **options)
    tracer.run()
    for line in tracer.log or ():
        say(line)
    say(f"calls {tracer.count}")
    os._exit(0)                     # the kernel lets go of everything


if __name__ == "__main__":
    main(sys.argv[1:])
