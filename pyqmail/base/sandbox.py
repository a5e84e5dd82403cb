"""Less than what a uid may: Landlock for files, TCP and signals, seccomp for system calls.

    sandbox.check("qmail-smtpd")                # once, where something can be logged: says what this kernel has not
    sandbox.enter(Files(read=[…]), sockets=[AF_UNIX])

For processes that read strangers' bytes. What a process gives up it has given up for good, and so has whatever it
starts or executes; what is open already stays open. Nothing of this is in the way of stat and of connecting to a Unix
socket. A kernel or a machine without one of the two does without it: uids separate in any case. To be entered before
there are threads.

Source: landlock(7), seccomp(2); numbers of Linux's headers.
"""
import errno
import os
import stat
import sys

from . import errors, filemark, home, libc, prot

# Landlock: rights to files, in the order of their bits; by which version of the interface there are more
(EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REMOVE_DIR, REMOVE_FILE, MAKE_CHAR, MAKE_DIR, MAKE_REG, MAKE_SOCK, MAKE_FIFO,
 MAKE_BLOCK, MAKE_SYM, REFER, TRUNCATE) = (1 << bit for bit in range(15))
VERSIONS = {1: MAKE_SYM, 2: REFER, 3: TRUNCATE}         # the last right of a version
OF_A_FILE = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE
READ, WRITE = READ_FILE | READ_DIR, WRITE_FILE | READ_FILE | READ_DIR | REMOVE_FILE | MAKE_REG | TRUNCATE
REMOVE, RUN = READ_DIR | REMOVE_FILE, EXECUTE | READ_FILE
CHANGE = WRITE_FILE | READ_FILE | READ_DIR | TRUNCATE
BIND_TCP, CONNECT_TCP = 1, 2
ABSTRACT_SOCKETS, SIGNALS = 1, 2                        # what stays within the sandbox, from SCOPES on
TCP_FROM, SCOPES = 4, 6                                 # versions
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
VERSION_FLAG, PATH_BENEATH = 1, 1

PT_INTERP = 3                                           # of the ELF format

# seccomp
PR_SET_SECCOMP, FILTER = 22, 2
ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0x80000000
EPERM, ENOSYS = 1, 38
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06      # of the classic packet filter
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16         # places in struct seccomp_data, little endian
X32 = 0x40000000                                        # x86_64's second set of numbers
CLONE_THREAD = 0x10000
CLONE3 = 435
ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}     # AUDIT_ARCH_…, column below
# nobody who reads strangers' bytes has a use for these
NEVER = (
    (101, 117), (310, 270), (311, 271), (438, 438),     # ptrace process_vm_readv process_vm_writev pidfd_getfd
    (165, 40), (166, 39), (155, 41), (161, 51),         # mount umount2 pivot_root chroot
    *((number, number) for number in (*range(428, 434), 442)),      # open_tree … fspick, mount_setattr
    (272, 97), (308, 268), (135, 92),                   # unshare setns personality
    (321, 280), (298, 241), (323, 282),                 # bpf perf_event_open userfaultfd
    (248, 217), (249, 218), (250, 219),                 # add_key request_key keyctl
    (425, 425), (426, 426), (427, 427),                 # io_uring_setup io_uring_enter io_uring_register
    (175, 105), (313, 273), (176, 106),                 # init_module finit_module delete_module
    (246, 104), (320, 294), (169, 142), (304, 265),     # kexec_load kexec_file_load reboot open_by_handle_at
    (167, 224), (168, 225),                             # swapon swapoff
)
EXECUTING = ((59, 221), (322, 281))                     # execve execveat
FORKING = ((57, None), (58, None))                      # fork vfork
USUAL = (1, 2, 10, 16)              # AF_UNIX, AF_INET, AF_INET6, AF_NETLINK: whoever looks up accounts or hosts
CLONE, SOCKET = (56, 220), (41, 198)


class Files:
    """Which files may be opened, removed, made and executed: those named here and what is below them. Whatever does
    not exist is passed over. Python's own code can be read in any case.

    write: read, too; make, remove and change files. link: the same, and links and renames from one of these to another.
    sockets: like write, and Unix sockets to listen on. change: read, and write to files that are there. remove: list a
    directory and remove files. run: execute. names: list directories.

    The first version of Landlock permits no link between directories, whatever the rules; with it `link` means that
    every file can be used."""

    def __init__(self, *, read=(), write=(), link=(), sockets=(), change=(), remove=(), run=(), names=()):
        self.links = bool(link)
        self.rules = [(path, rights) for paths, rights in (
            ((*code(), "/dev/urandom"), READ), (("/dev/null",), READ | WRITE_FILE), (read, READ), (write, WRITE),
            (link, WRITE | REFER), (sockets, WRITE | MAKE_SOCK), (change, CHANGE), (remove, REMOVE), (run, RUN), (names, READ_DIR)) for path in paths]


def code():
    """Where Python and its libraries are; secrets are not."""
    return {home.path("pyqmail"), home.path("venv"), "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib",
            f"{sys.base_prefix}/lib", *filter(None, sys.path[1:])}


class Confined:
    """A process that reads control files and nothing else but what `files` has (keywords of Files), with `more` of
    enter(). links: paths of other files that it reads and that may be links. Raises OSError."""

    def __init__(self, files, links=(), **more):
        self._links = links
        self._seen, self._places = self._marks(), self._directories()
        enter(Files(**{**files, "read": (*(path for path, _ in self._places), *files.get("read", ()))}), **more)

    def outgrown(self):
        """True if those files are in places now that are closed to this process: another one must take over."""
        seen = self._marks()
        if seen != self._seen:
            self._seen = seen
            return not self._directories() <= self._places
        return False

    def _marks(self):
        return [filemark.of(path) for path in (home.path("control"), *self._links)]

    def _directories(self):
        """{(path, which directory that is now)}."""
        found = control_places() | {os.path.dirname(os.path.realpath(path)) for path in self._links}
        return {(path, which) for path in found if (which := filemark.which(path))}


def control_places():
    """The directories that control files are in: any of them may be a link to elsewhere."""
    directory = home.path("control")
    found = {os.path.realpath(directory)}
    try:
        with os.scandir(directory) as entries:
            found |= {os.path.dirname(os.path.realpath(entry.path)) for entry in entries if entry.is_symlink()}
    except OSError:
        pass                        # away just now; whoever needs a file of it will say so
    return found


def interpreter():
    """What must be executable for a program in Python to run."""
    program = os.path.realpath(sys.executable or "/usr/bin/python3")
    with open(program, "rb") as f:
        return [program, *loader(f)]


def loader(f):
    """[the path, as bytes] of what the kernel runs first for this ELF file of a 64-bit machine, [] if nothing: the text
    of its segment PT_INTERP, which may lie anywhere in the file."""
    head = f.read(64)
    if head[:5] != b"\x7fELF\2":
        return []
    number = number_in(head, "little" if head[5] == 1 else "big")
    table, size, count = number(32, 8), number(54, 2), number(56, 2)
    for entry in range(count):
        f.seek(table + entry * size)
        number = number_in(f.read(size), "little" if head[5] == 1 else "big")
        if number(0, 4) == PT_INTERP:
            f.seek(number(8, 8))
            return [f.read(number(32, 8)).rstrip(b"\0")]
    return []


def number_in(data, order):
    return lambda at, size: int.from_bytes(data[at:at + size], order)


def enter(files, *, sockets=(), tcp=False, forks=False, execs=False):
    """Give up everything but this. files: a Files, None for all that the uid may; sockets: the families of new ones;
    tcp: connect; forks: new processes; execs: other programs, as far as files has them. Implies no_new_privileges.
    Returns what could not be had, as text, "" if nothing. Raises OSError for what must not happen."""
    prot.no_new_privileges()
    return ", ".join(filter(None, (restrict(files, tcp), filter_calls(sockets, forks, execs))))


def check(name, say=errors.say):
    """One line in the log about what this kernel has not."""
    if missing():
        say(f"{name}: warning: this kernel has no {missing()}: what uids may, the program may")


def missing():
    """Of Landlock and seccomp those that are not to be had here, as text."""
    return " and ".join(filter(None, (
        "" if landlock_version() > 0 else "Landlock",
        "" if os.uname().machine in ARCHITECTURES and os.path.exists("/proc/sys/kernel/seccomp") else "seccomp")))


def landlock_version():
    """0 or less: none."""
    return call(CREATE_RULESET, None, 0, VERSION_FLAG)


def call(*words):
    """syscall(2)."""
    return libc.call("syscall", *words)


# ---------------------------------------------------------------- files, TCP, signals

def restrict(files, tcp):
    """Landlock, as far as this kernel has it. Returns "" or its name."""
    version = landlock_version()
    if version <= 0:
        return "Landlock"
    if files and files.links and REFER > VERSIONS[min(version, max(VERSIONS))]:
        files = None
    known = 2 * VERSIONS[min(version, max(VERSIONS))] - 1
    words = (known if files else 0, (BIND_TCP | CONNECT_TCP * (not tcp)) * (version >= TCP_FROM),
             (ABSTRACT_SOCKETS | SIGNALS) * (version >= SCOPES))
    words = words[:1 + (version >= TCP_FROM) + (version >= SCOPES)]
    if not any(words):
        return ""
    attributes = b"".join(word.to_bytes(8, sys.byteorder) for word in words)
    ruleset = call(CREATE_RULESET, attributes, len(attributes), 0)
    if ruleset < 0:
        return "Landlock"
    try:
        for path, rights in files.rules if files else ():
            allow(ruleset, path, rights & known)
        if call(RESTRICT_SELF, ruleset, 0) != 0:
            if libc.errno() == errno.E2BIG:
                return ""           # as often as can be: what takes over from what takes over … is confined already
            raise OSError(libc.errno(), "landlock_restrict_self")
    finally:
        os.close(ruleset)
    return ""


def allow(ruleset, path, rights):
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return                      # not there, or nothing for this uid
    try:
        directory = stat.S_ISDIR(os.fstat(fd).st_mode)
        rule = (rights if directory else rights & OF_A_FILE).to_bytes(8, sys.byteorder) + fd.to_bytes(4, sys.byteorder)
        if call(ADD_RULE, ruleset, PATH_BENEATH, rule, 0) != 0:
            raise OSError(libc.errno(), "landlock_add_rule", path)
    finally:
        os.close(fd)


# ---------------------------------------------------------------- system calls

def filter_calls(sockets, forks, execs):
    """seccomp, if this kernel has it and we know this machine's numbers. Returns "" or its name."""
    machine = ARCHITECTURES.get(os.uname().machine)
    if machine is None or sys.maxsize < 1 << 32:
        return "seccomp"
    steps = program(*machine, sockets, forks, execs)
    code = b"".join(b"".join((operation.to_bytes(2, "little"), bytes((yes, no)), value.to_bytes(4, "little")))
                    for operation, yes, no, value in steps)
    place, kept = libc.address(code)
    header = len(steps).to_bytes(8, "little") + place.to_bytes(8, "little")        # struct sock_fprog
    failed = libc.call("prctl", PR_SET_SECCOMP, FILTER, header, 0, 0) != 0
    del kept                        # not before it was read
    return "seccomp" if failed else ""


def program(architecture, column, sockets, forks, execs):
    """The filter, as (operation, jump if true, jump if false, value). The number of the call stays in the register
    until a part that is about this very call, which ends with a return."""
    steps = [(LOAD, 0, 0, ARCHITECTURE), (EQUAL, 1, 0, architecture), (RETURN, 0, 0, KILL), (LOAD, 0, 0, NUMBER)]
    deny = [(RETURN, 0, 0, ERRNO | EPERM)]
    allowed = [(RETURN, 0, 0, ALLOW)]

    def on(number, part):
        if number is not None:
            steps.extend([(EQUAL, 0, len(part), number), *part])
    if column == 0:
        steps.extend([(AT_LEAST, 0, 1, X32), *deny])
    families = [step for family in sockets for step in ((EQUAL, 0, 1, family), *allowed)]
    on(SOCKET[column], [(LOAD, 0, 0, FIRST_ARGUMENT), *families, *deny])
    if not forks:
        on(CLONE3, [(RETURN, 0, 0, ERRNO | ENOSYS)])        # its flags are out of reach; libc then takes clone
        on(CLONE[column], [(LOAD, 0, 0, FIRST_ARGUMENT), (ANY_BIT, 1, 0, CLONE_THREAD), *deny, *allowed])
    for numbers in (*NEVER, *(() if execs else EXECUTING), *(() if forks else FORKING)):
        on(numbers[column], deny)
    return steps + allowed
