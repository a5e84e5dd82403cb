"""The authenticator of `qmail-popup --listen`: takes logins, gives each a process that becomes its user.

**Security**: root, and the only root process of POP3. It speaks no POP3: a login comes as a packet
of bounded length from the accept workers, which are qmaild, and is taken apart at its NULs. The
client's address comes from the kernel. What the workers say never becomes part of an environment. A
password is compared in a child of the login's process: what it takes to compare (/etc/shadow, PAM, a domain's
accounts) never is in the memory of a process that becomes a user.
"""
import errno
import os
import selectors
import socket
import time

from ..auth import accounts, accounts_pam, checkpassword, failures
from ..base import accounts as roles, child, errors, gate, home, limits, listen, sig
from . import confined, handover, serve, session

NAME = "qmail-popup"
CHECK_TIME = 120                    # s; a password check that hangs must not keep its place for ever
FAILURE_DELAY = 3                   # s from the password to "authorization failed": no faster guessing
ANSWER = 1 << 16                    # bytes of a checking process's answer; a line of /etc/passwd is shorter
SHOWN = 100                         # bytes of a user name in the log
SYSTEM, VIRTUAL = b"checkpassword", b"vchkpw"       # checkers that need no process of their own before
SERVER = b"qmail-pop3d"


class Authenticator:
    """run() until there is nobody who could send logins."""

    def __init__(self, logins, checker, total, per_ip, *, verbose=False, delay=FAILURE_DELAY):
        """logins: the receiving end of handover.pair(). checker: argv. total: sessions at once, per_ip: of
        one address (IPv6: of one /64), 0 for no limit."""
        self.logins, self.checker, self.total, self.per_ip = logins, checker, total, per_ip
        self.verbose, self.delay = verbose, delay
        self.sessions = {}          # pid: customer
        self.cold = True            # nobody has logged in yet

    def run(self, front):
        """Serve logins until SIGTERM, then pass it on to the process `front`, serve what it still
        sends and return 0. Returns 111 when `front` ends by itself. Sessions go on by themselves."""
        reader, _ = sig.wake_pipe()
        ends, hangups = [], []
        sig.catch(sig.TERM, lambda: ends.append(True))
        sig.catch(sig.HUP, lambda: hangups.append(True))
        sig.catch(sig.CHLD, lambda: None)
        self.logins.setblocking(False)
        status = errors.TEMPORARY
        with selectors.DefaultSelector() as selector:
            selector.register(reader, selectors.EVENT_READ)
            selector.register(self.logins, selectors.EVENT_READ)
            while True:
                if ends and status:
                    status = 0
                    listen.tell([front], sig.TERM)
                if hangups:
                    hangups.clear()
                    listen.tell([front], sig.HUP)
                for key, _ in selector.select():
                    if key.fd == reader:
                        sig.drain(reader)
                    elif not self.receive():
                        return status       # every worker has gone
                self.reap(front, status)

    def reap(self, front, status):
        for pid, result in child.reap():
            if pid == front and status:
                errors.say(NAME, f": alert: accept process {pid} ended with status {result}")
            customer = self.sessions.pop(pid, None)
            if customer is not None and result < 0:
                errors.say(NAME, f": warning: the process {pid} of a login died with signal {-result}")

    def receive(self):
        """One login; False when there will be no more."""
        try:
            login = handover.receive(self.logins)
        except BlockingIOError:
            return True
        except EOFError:
            return False
        except OSError as why:
            errors.say(NAME, ": warning: unable to take a login: ", errors.text(why))
            time.sleep(listen.FULL_PAUSE)
            return True
        if login is None:
            errors.say(NAME, ": alert: an accept worker sent what is no login")
            return True
        connection, name, secret, stamp = login
        with connection:
            self.admit(connection, name, secret, stamp)
        return True

    def admit(self, connection, name, secret, stamp):
        try:
            peer = Peer(connection)
        except OSError:
            return                  # gone already
        busy = sum(customer == peer.customer for customer in self.sessions.values())
        too_many = 0 < self.per_ip <= busy and not peer.ip.startswith(gate.LOOPBACK)
        if too_many or len(self.sessions) >= self.total:
            errors.say(NAME, f": warning: {peer.ip}: too many sessions at once")
            refuse(connection, b"too many sessions, try again later")
            return
        if self.cold:
            self.cold = False
            warm(self.checker)
        try:
            pid = child.fork(lambda: self.attend(connection, peer, name, secret, stamp))
        except OSError as why:
            errors.say(NAME, ": warning: unable to fork: ", errors.text(why))
            refuse(connection, b"unable to fork")
            return
        self.sessions[pid] = peer.customer

    def attend(self, connection, peer, name, secret, stamp):
        """The life of a login's process: check, become the user, be his session."""
        sig.wakeup(-1)
        sig.default(sig.TERM, sig.HUP, sig.CHLD)
        connection.setblocking(True)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)    # the end of an answer waits for nothing
        os.dup2(connection.fileno(), 0)
        os.dup2(connection.fileno(), 1)
        os.closerange(3, 1 << 30)   # listeners and other clients are none of this user's business
        started = time.monotonic()
        login = checkpassword.encode(name, secret, stamp)
        try:
            if in_process(self.checker):
                failure = self.session(name, secret, stamp, login, peer)
            else:
                failure = self.other_checker(login, peer)
        except (errors.Temporary, OSError) as why:
            errors.say(NAME, ": warning: login of ", quoted(name), f" from {peer.ip} deferred: ",
                       errors.text(why) if isinstance(why, OSError) else str(why))
            failure = b"temporary authorization failure"
        else:
            if failure is None:
                return 0
            errors.say(NAME, ": login failed: ", quoted(name), f" from {peer.ip}")
        time.sleep(max(0, started + self.delay - time.monotonic()))
        try:
            serve.Client(0, 1).write(session.error(failure))
        except serve.Gone:
            pass
        return 1

    def session(self, name, secret, stamp, login, peer):
        """The checker and qmail-pop3d in this process. Returns why not, or None after the session."""
        if len(login) > checkpassword.LIMIT:
            return b"authorization failed"
        check, enter = (virtual_user, enter_virtual) if self.checker[0] == VIRTUAL else (system_user, enter_system)
        found = checked(lambda: check(name, secret, stamp, peer))
        if found is None:
            return b"authorization failed"
        enter(found)
        directory = self.checker[2] if len(self.checker) > 2 else None
        confined.mailbox(directory)
        if self.verbose:
            errors.say(NAME, ": login: ", quoted(name), f" from {peer.ip}")
        serve.transact(serve.Client(0, 1), directory)
        return None

    def other_checker(self, login, peer):
        """The configured checker as a program of its own, with descriptors 0 and 1."""
        path = os.fsencode(home.path("bin")) + b":" + child.search_path()
        os.environb.clear()
        os.environb.update({b"PATH": path, **peer.environ})
        status = checkpassword.ask(self.checker, login, path)
        if status is None:
            return b"unable to write pipe"
        if status < 0:
            return b"aack, child crashed"
        return b"authorization failed" if status else None


def in_process(words):
    """True if the checker and the program after it are pyqmail's own."""
    ours = len(words) > 1 and words[0] in (SYSTEM, VIRTUAL) and words[1] == SERVER
    return ours and all(home.ours(os.fsdecode(word)) for word in words[:2])


# ---------------------------------------------------------------- a check in a process of its own

FOUND, REFUSED, TROUBLE = b"=", b"-", b"!"


def checked(check):
    """What check(), carried out in a process of its own, tells of the user; None if there is no login.
    Raises Temporary, OSError."""
    status, answer = child.result_of(lambda: carry_out(check), ANSWER)
    if status == 0 and answer == REFUSED:
        return None
    if status == 0 and answer.startswith(FOUND):
        return answer[1:]
    if status == 0 and answer.startswith(TROUBLE):
        raise errors.Temporary(os.fsdecode(answer[1:]))
    raise errors.Temporary("the password check took too long" if status == -sig.ALRM else
                           f"the password check ended with status {status}")


def carry_out(check):
    """The whole life of the process that compares a password: its answer."""
    limits.enter(NAME)
    sig.default(sig.ALRM)           # ends the process even inside a library that hangs
    sig.alarm(CHECK_TIME)
    try:
        found = check()
    except errors.Temporary as why:
        return TROUBLE + os.fsencode(str(why))
    except OSError as why:
        return TROUBLE + os.fsencode(errors.text(why))
    return REFUSED if found is None else FOUND + found


def system_user(name, secret, _, peer):
    """checkpassword's part: the account as bytes, None if there is no login."""
    try:
        found = accounts.login(name, secret, peer.ip.encode())
    except failures.TooMany:
        errors.say(NAME, ": too many failed logins: ", quoted(name), f" from {peer.ip}")
        return None
    return found and b"\0".join((found.name, b"%d" % found.uid, b"%d" % found.gid, found.home, found.shell))


def enter_system(data):
    name, uid, gid, directory, shell = data.split(b"\0")
    checkpassword.become(accounts.Account(name, int(uid), int(gid), directory, shell))


def virtual_user(name, secret, stamp, peer):
    """vchkpw's part."""
    from ..vpopmail import checker      # only where there are virtual users
    os.environb.update(peer.environ)    # the default domain may depend on them
    connection = checker.Connection(peer.environ, SERVER)
    try:
        return checker.admit(connection, name, secret, stamp).pack()
    except checker.Failure as why:
        checker.loginlog.refused(connection.name, why.text)
        return None


def enter_virtual(data):
    from ..vpopmail import checker      # see virtual_user()
    checker.Admitted.unpack(data).enter()


class Peer:
    """Who is at the other end, as the kernel tells: ip, customer (what limits count), environ."""

    def __init__(self, connection):
        """Raises OSError if the client has gone, or if this is no TCP connection."""
        if connection.family not in (socket.AF_INET, socket.AF_INET6):
            raise OSError(errno.ENOTSOCK, "not a TCP connection")
        remote, local = connection.getpeername(), connection.getsockname()
        self.ip = gate.plain(remote[0])
        self.customer = gate.customer(self.ip)
        self.environ = {b"PROTO": b"TCP", b"TCPREMOTEIP": self.ip.encode(), b"TCPREMOTEPORT": b"%d" % remote[1],
                        b"TCPLOCALIP": gate.plain(local[0]).encode(), b"TCPLOCALPORT": b"%d" % local[1]}


def refuse(connection, why):
    try:
        connection.send(session.error(why), socket.MSG_DONTWAIT)
    except OSError:
        pass                        # it is closed in any case


def quoted(name):
    """A user name for the log: printable, bounded, in quotes."""
    shown = "".join(chr(byte) if 32 <= byte <= 126 and byte not in b'"\\' else f"\\{byte:03o}" for byte in name[:SHOWN])
    return f'"{shown}"' + ("..." if len(name) > SHOWN else "")


def warm(words):
    """Load what every login with this checker needs, before there are processes that would each load it: 25 ms each.
    Not at the start: it takes 2.5 MB, and many machines have nobody who logs in."""
    if words[0] == VIRTUAL:
        from ..vpopmail import checker  # noqa: F401
    if roles.private():
        return
    try:
        accounts_pam.load()
    except accounts_pam.Unavailable:
        pass
