"""Programs that no service keeps running, started by the tests as who starts them otherwise, and kept waiting: for the
rest of their input, for a server's first word, or while a password is checked (planted.wait)."""
import contextlib
import os
import signal
import socket
import subprocess

from pyqmail.install import users
from tests.peers import proc
from tests.peers.roles import gid, uid

COURIER = ("courier", "authdaemon")         # accounts that belong to Courier


class Started:
    """What was started: `pids` {name: pid} of the programs, and what ends with close()."""

    def __init__(self, home):
        self.home, self.pids, self.stack = home, {}, contextlib.ExitStack()

    def start(self, name, *words, who, groups=(), stdin=None, login=False, **options):
        """A program of bin/, in a session of its own. who: (uid, gid). stdin: "pipe", "client" for a connection as 0
        and 1, or a descriptor. login: something to read on descriptor 3 that does not come."""
        fds = []
        if stdin == "pipe":
            theirs, ours = os.pipe()
            options["stdin"] = theirs
            fds += [theirs, ours]
        elif stdin == "client":
            theirs, ours = socket.socketpair()
            self.stack.callback(ours.close)
            options["stdin"] = options["stdout"] = theirs.detach()
            fds.append(options["stdin"])
        elif stdin is not None:
            options["stdin"] = stdin
        prepare = None
        if login:
            theirs, ours = os.pipe()
            fds += [theirs, ours]
            prepare = lambda: os.dup2(theirs, 3)        # noqa: E731
            options["close_fds"] = False
        for fd in fds[1::2]:
            self.stack.callback(os.close, fd)
        options.setdefault("stdout", subprocess.DEVNULL)
        process = subprocess.Popen(
            [f"{self.home}/bin/{words[0]}", *words[1:]], user=who[0], group=who[1], extra_groups=groups or [who[1]],
            preexec_fn=prepare, start_new_session=True, cwd=options.pop("cwd", "/"), stderr=subprocess.DEVNULL,
            env={"PATH": f"{self.home}/bin:/usr/bin:/bin", **options.pop("env", {})}, **options)
        for fd in fds[::2]:
            os.close(fd)
        self.pids[name] = process.pid
        self.stack.callback(end, process)

    def close(self):
        self.stack.close()

    def family(self, processes):
        """{pid} of what was started and has come of it."""
        found = set(self.pids.values())
        for process in processes:               # parents are older than their children, but for numbers anew
            if process.parent in found:
                found.add(process.pid)
        return found


def end(process):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def start(place, caller):
    """Start everything. place: conftest.Place; caller: a Person who has nothing but an account."""
    found = Started(place.home)
    qmaild, itself = (uid("qmaild"), gid("nofiles")), (caller.uid, caller.uid)
    user = (place.user.uid, os.stat(place.user.home).st_gid)
    root = (0, 0)
    client = {"TCPREMOTEIP": "127.0.0.9", "TCPREMOTEPORT": "9", "TCPLOCALIP": "127.0.0.1", "TCPLOCALPORT": "9"}
    for name, *words in (("qmail-inject", "qmail-inject", "a@b.example"), ("sendmail", "sendmail", "a@b.example"),
                         ("qmail-queue by hand", "qmail-queue"), ("qmail-pw2u", "qmail-pw2u"),
                         ("qmail-qmqpc", "qmail-qmqpc")):
        found.start(name, *words, who=itself, stdin="pipe")
    for name in ("qmail-smtpd", "qmail-qmtpd", "qmail-qmqpd"):
        found.start(f"{name} by itself", name, who=qmaild, stdin="client", env=client)
    found.start("qmail-popup by itself", "qmail-popup", "me", "checkpassword", "true", who=root, stdin="client")
    found.start("qmail-pop3d by itself", "qmail-pop3d", "Maildir", who=user, stdin="client", cwd=place.user.home)
    found.start("vpopmaild", "vpopmaild", who=root, stdin="client")
    found.start("splogger", "splogger", "tests", who=(uid("qmaill"), gid("nofiles")), stdin="pipe")
    for name in ("checkpassword", "vchkpw"):
        found.start(name, name, "true", who=root, login=True)
    found.start("authvchkpw", "authvchkpw", "imapd", "Maildir", who=root, login=True)
    silent(found, place)
    local(found, place, user)
    courier(found, place, root)
    return found


def silent(found, place):
    """qmail-remote, to a server that says nothing."""
    server = socket.create_server(("127.0.0.1", 0))
    found.stack.callback(server.close)
    with open(f"{place.home}/control/smtproutes", "a", encoding="ascii") as f:
        f.write(f"silent.test:127.0.0.1:{server.getsockname()[1]}\n")
    with open(os.devnull, "rb") as nothing:
        found.start("qmail-remote by itself", "qmail-remote", "silent.test", "s@a.example", "r@silent.test",
                    who=(uid("qmailr"), gid("qmail")), stdin=nothing.fileno(), cwd=f"{place.home}/queue/mess")


def local(found, place, user):
    """qmail-local, whose .qmail line takes its time."""
    place.mine(place.user, ".qmail-wait", "|sleep 600\n")
    with open(f"{place.home}/pyqmail/base/home.py", "rb") as message:       # some file
        found.start("qmail-local by itself", "qmail-local", "--", place.user.name, place.user.home,
                    f"{place.user.name}-wait", "-", "wait", "a.example", "s@a.example", "./Maildir/", who=user,
                    stdin=message.fileno(), cwd=place.user.home)


def courier(found, place, root):
    """authdaemond, with a directory of its own for its socket."""
    for name in COURIER:
        if not users.user_exists(name):
            subprocess.run(["useradd", "--system", "--user-group", "--no-create-home", name], check=True,
                           capture_output=True)
            found.stack.callback(subprocess.run, ["userdel", name], capture_output=True)
    with open(f"{place.home}/authdaemonrc", "w", encoding="ascii") as f:
        f.write(f'authmodulelist="authvchkpw"\nauthdaemonvar={place.home}/authdaemon\n')
    found.start("authdaemond, keeper", "authdaemond", f"{place.home}/authdaemonrc", who=root)


def logins(found, place):
    """Two logins that are being checked: one by POP3, one by authdaemond."""
    with open(f"{place.home}/planted.wait", "wb"):
        pass
    found.stack.callback(os.unlink, f"{place.home}/planted.wait")
    pop3 = found.stack.enter_context(socket.create_connection(("127.0.0.1", place.mail.pop3), 60))
    pop3.sendall(f"USER {place.other.name}\r\nPASS x\r\n".encode())
    asking = found.stack.enter_context(socket.socket(socket.AF_UNIX))
    place.mail.wait(lambda: connected(asking, f"{place.home}/authdaemon/socket"))
    data = f"imap\nlogin\n{place.joe}\nx\n"
    asking.sendall(f"TCPREMOTEIP=127.0.0.9\nAUTH {len(data)}\n{data}".encode())


def connected(sock, path):
    try:
        sock.connect(path)
        return True
    except OSError:
        return False


def roles(found, processes):
    """{role: Process} of those that were started and of what they have forked."""
    known = {process.pid: process for process in processes}
    answer = {}
    for name, pid in found.pids.items():        # or the one that a launcher in sh waits for
        if pid in known:
            below = proc.children(known[pid], processes) if known[pid].words[0].endswith("sh") else []
            answer[name] = [known[pid], *below][-1]
    for parent, name, child in (("qmail-popup by itself", "qmail-popup by itself, front", None),
                                ("vpopmaild", "vpopmaild, front", None),
                                ("authdaemond, keeper", "authdaemond", uid("authdaemon")),
                                ("authdaemond, keeper", "authdaemond, a request", 0),
                                ("authdaemond, a request", "authdaemond, an account", None)):
        if parent in answer:
            answer |= {name: process for process in proc.children(answer[parent], processes)
                       if child in (None, process.uid)}
    return answer
