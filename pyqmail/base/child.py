"""Starting processes and programs: the place that forks, executes and waits."""
import errno
import os
import sys

from . import errors, netio, sig

DEFAULT_PATH = b"/bin:/usr/bin"         # where programs are looked up if PATH is not set


def environment():
    """The environment this process was given, as a dict of bytes.

    Python adds LC_CTYPE to its own environment under the C locale (PEP 538); programs we start
    must not see that.
    """
    variables = dict(os.environb)
    if variables.get(b"LC_CTYPE") == b"C.UTF-8":
        try:
            with open("/proc/self/environ", "rb") as f:
                if not any(entry.startswith(b"LC_CTYPE=") for entry in f.read().split(b"\0")):
                    del variables[b"LC_CTYPE"]
        except OSError:
            pass                    # no /proc: one variable too many is the lesser evil
    return variables


def start(path, argv, fds, *, cwd=None, env=None, search=None, failed=120, prepare=None):
    """Fork and execute; returns the pid.

    fds: {descriptor in the child: descriptor here}; all others are closed in the child unless
    they are inheritable. search: a PATH (bytes) along which `path` is looked up; a script without
    "#!" found there is run by sh, as execvp has it. prepare() runs in the child before the descriptors
    are put in place. A child that cannot execute ends with status `failed`, or with failed(OSError) if
    that is callable; one that cannot enter `cwd` ends with 61. Raises OSError if it cannot fork.
    """
    env = environment() if env is None else env     # here: after a change of uid /proc hides it
    pid = os.fork()
    if pid:
        return pid
    try:
        if prepare:
            prepare()
        place(fds)
        if cwd is not None:
            try:
                os.chdir(cwd)
            except OSError:
                os._exit(61)
        sig.default(sig.PIPE, sig.XFSZ)
        try:
            if not argv[0]:
                raise FileNotFoundError(errno.ENOENT, "no name")    # os.execve has another exception for it
            if search is None:
                os.execve(path, argv, env)
            else:
                os.execvpe(path, argv, {**env, b"PATH": search} if search != env.get(b"PATH") else env)
        except OSError as why:
            if search is not None and why.errno == errno.ENOEXEC:
                execute_script(os.fsencode(path), argv, env, search)
            os._exit(failed(why) if callable(failed) else failed)
    finally:
        os._exit(81)                # never return into the parent's code


def execute_script(name, argv, env, search):
    """Execute sh with the first program of this name, looked up along `search` unless it has a slash.
    Returns if there is none."""
    place = find(name, search)
    if place is not None:
        os.execve("/bin/sh", ["/bin/sh", place, *argv[1:]], env)


def search_path(environ=os.environb):
    """Where programs are looked up: PATH as these variables have it."""
    return environ.get(b"PATH", DEFAULT_PATH)


def find(name, search):
    """The path (bytes) of the first program `name` along `search`, a PATH; of a name with a slash itself. None if
    nothing there can be executed."""
    for place in [name] if b"/" in name else [b"%b/%b" % (place or b".", name) for place in search.split(b":")]:
        if os.access(place, os.X_OK) and not os.path.isdir(place):
            return place
    return None


def fork(run, failed=errors.TEMPORARY):
    """Fork a process that carries out run() and nothing else; returns its pid. Raises OSError.

    It ends with the exit code that run() returns, 0 for None; with `failed` after an exception, which is
    told in one line. It never comes back into our code, not even through a `finally`.
    """
    pid = os.fork()
    if pid:
        return pid
    status = failed
    try:
        status = run() or 0
    except Exception as why:
        errors.say(os.path.basename(sys.argv[0]), ": alert: ", errors.unforeseen(why))
    finally:
        os._exit(status)


def result_of(work, limit):
    """(exit code, bytes) of a process that carries out work(), which returns the bytes; at most `limit` of them
    are kept. Raises OSError."""
    reader, writer = os.pipe()
    try:
        try:
            pid = fork(lambda: netio.write_all(writer, work()))
        finally:
            os.close(writer)
        try:
            data = netio.read_all(reader, limit)
        finally:
            status = wait(pid)
        return status, data
    finally:
        os.close(reader)


def execute(argv, env, program=None):
    """Execute argv in this very process; `program`, otherwise argv[0], is looked up along env's PATH. Raises OSError."""
    sig.default(sig.PIPE, sig.XFSZ)
    os.execvpe(program or argv[0], argv, env)


def spawn(path, argv, fds, *, cwd=None, env=None):
    """Start a program from a process that has threads, where a fork could copy a lock that is held;
    returns the pid.

    path, argv, fds, env as in start(). No Python code runs in the child; a program that cannot be
    executed is an OSError here. Every descriptor that is not in `fds` must be non-inheritable;
    descriptor 2 is /dev/null unless given. cwd: this whole process goes there for the moment, so only
    one thread may use relative names, and it is the one that calls this.
    """
    import fcntl                    # half a millisecond: only a long-lived program comes here
    above = max(fds) + 1
    sources = {}
    back = os.open(".", os.O_PATH | os.O_CLOEXEC) if cwd is not None else -1
    try:
        for source in set(fds.values()):        # out of the targets' way, so that their order does not matter
            sources[source] = fcntl.fcntl(source, fcntl.F_DUPFD_CLOEXEC, above)
        actions = [(os.POSIX_SPAWN_DUP2, sources[source], target) for target, source in fds.items()]
        if 2 not in fds:
            actions.append((os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0))
        if cwd is not None:
            os.chdir(cwd)
        return os.posix_spawn(path, argv, environment() if env is None else env, file_actions=actions,
                              setsigdef=(sig.PIPE, sig.XFSZ))
    finally:
        if back >= 0:
            os.fchdir(back)
            os.close(back)
        for fd in sources.values():
            os.close(fd)


def place(fds):
    """Make each descriptor `target` a copy of `source` and let it survive execution."""
    spare = {}
    for source in set(fds.values()):
        if source in fds and fds[source] != source:     # a target would overwrite it: move it away
            spare[source] = os.dup(source)
            while spare[source] in fds:
                spare[source] = os.dup(spare[source])
    for target, source in fds.items():
        source = spare.get(source, source)
        if source == target:
            os.set_inheritable(target, True)
        else:
            os.dup2(source, target)


def keep_error_descriptor():
    """Started without a descriptor 2, as qmail-start starts the spawners: nothing that is opened later may
    become it, for somebody might write a line of text there."""
    try:
        os.fstat(2)
    except OSError:
        fd = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
        if fd != 2:                 # 0 or 1 was not open either
            os.dup2(fd, 2, inheritable=False)


def wait(pid):
    """The exit code of a child; minus the signal's number if one ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def reap():
    """(pid, exit code or minus the signal's number) of every child that has ended by now."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        yield pid, os.waitstatus_to_exitcode(status)
