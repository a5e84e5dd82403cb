"""What is planted in every program of a throw-away installation: it tries what it can do, when it is told to.

It is imported by base/errors.py there, thus by each program before its own code. SIGUSR1 then has it try every target
from inside the process as it is at that moment: its uid, groups, descriptors, directory and whatever it has put around
itself. Orders and results are in shared memory that is mapped here, for later nothing may be open to it.

The memory: 8 bytes, the length of the orders, and these (JSON); from ORDERS on, SLOT bytes for each number: 8 bytes,
the length, then the answer (JSON), {target: letters}. Orders: {"slots": {pid: number}, "targets": [[kind, target,
how to get at it]]}.
"""
import ctypes
import errno
import json
import mmap
import os
import signal
import socket
import time

ORDERS, SLOT, SLOTS = 1 << 17, 1 << 14, 64
HOME = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
AREA, WAIT = f"{HOME}/planted.area", f"{HOME}/planted.wait"
PR_GET_NO_NEW_PRIVS = 39
LIBC = ctypes.CDLL(None, use_errno=True)


def allowed(attempt, *arguments):
    """True unless it fails: for want of rights, or because there is no such thing for us."""
    try:
        attempt(*arguments)
        return True
    except OSError:
        return False


def opened(path, flags, mode=0o600):
    os.close(os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY, mode))


def a_file(path, _):
    yield "r", allowed(opened, path, os.O_RDONLY)
    yield "w", allowed(opened, path, os.O_WRONLY)


def a_directory(path, number):
    yield "r", allowed(os.listdir, path)
    yield "c", allowed(opened, f"{path}/.made-{number}", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    yield "d", allowed(os.unlink, f"{path}/.removed-{number}")


def a_program(path, _):
    def run():
        pid = os.posix_spawn(path, [path], {})
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
            raise OSError(errno.EACCES, "it did not run")
    yield "x", allowed(run)


def a_process(pid, _):
    yield "s", allowed(os.kill, pid, 0)
    yield "p", looked_into(pid)


def looked_into(pid):
    """True if we might trace it: reading its memory at an address that nobody has takes the same rights."""
    vector = (ctypes.c_size_t * 2)(8, 1)
    here = ctypes.create_string_buffer(1)
    ours = (ctypes.c_size_t * 2)(ctypes.addressof(here), 1)
    LIBC.process_vm_readv(ctypes.c_int(pid), ours, ctypes.c_ulong(1), vector, ctypes.c_ulong(1), ctypes.c_ulong(0))
    if ctypes.get_errno() == errno.EFAULT:
        return True
    return allowed(opened, f"/proc/{pid}/mem", os.O_RDONLY)


def a_unix_socket(path, _):
    def connect():
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            sock.connect(path)
    yield "o", allowed(connect)


def tcp(port, _):
    def connect():
        with socket.socket() as sock:
            sock.connect(("127.0.0.1", port))
    yield "o", allowed(connect)


def udp(port, _):
    def send():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"", ("127.0.0.1", port))
    yield "o", allowed(send)


def listening(port, _):
    def listen():
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", port))
            sock.listen()
    yield "l", allowed(listen)


def new_rights(_, __):
    """Whether a set-uid program would get its owner's rights."""
    yield "x", LIBC.prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0


def a_namespace(flags, _):
    """In a process of its own: ours must stay where it is."""
    yield "c", in_child(lambda: LIBC.unshare(ctypes.c_int(flags)))


def a_call(call, _):
    """A system call with arguments that make it fail where it is allowed, too: other than for want of rights."""
    ctypes.set_errno(0)
    LIBC.syscall(*map(ctypes.c_long, call))
    yield "x", ctypes.get_errno() not in (errno.EPERM, errno.EACCES, errno.ENOSYS)


def a_child(_, __):
    yield "c", in_child(lambda: 0)


def in_child(attempt):
    try:
        pid = os.fork()
    except OSError:
        return False
    if pid == 0:
        status = 1
        try:
            status = 0 if attempt() == 0 else 1
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1] == 0


KINDS = {function.__name__: function for function in (
    a_file, a_directory, a_program, a_process, a_unix_socket, tcp, udp, listening, new_rights, a_namespace, a_call,
    a_child)}


def tried(*_):
    length = int.from_bytes(memory[:8], "little")
    orders = json.loads(memory[8:8 + length])
    number = orders["slots"].get(str(os.getpid()))
    if number is None:
        return
    found = {}
    for kind, target, how in orders["targets"]:
        found[target] = found.get(target, "") + "".join(letter for letter, yes in KINDS[kind](how, number) if yes)
    answer = json.dumps(found).encode()
    start = ORDERS + SLOT * number
    memory[start + 8:start + 8 + len(answer)] = answer
    memory[start:start + 8] = len(answer).to_bytes(8, "little")


def wait():
    """As long as there is WAIT."""
    while os.path.exists(WAIT):
        time.sleep(0.05)


if os.path.exists(AREA):            # mapped once, when a program starts; those it forks have it, too
    with open(AREA, "r+b") as _file:
        memory = mmap.mmap(_file.fileno(), ORDERS + SLOT * SLOTS)
    signal.signal(signal.SIGUSR1, tried)
