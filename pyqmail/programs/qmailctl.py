"""qmailctl: set up, start, stop and look after an installation.

    qmailctl install [--home DIR] [--smtp ADDR:PORT,…] [--pop3 ADDR:PORT,…] [--venv DIR] [--start]
    qmailctl imap courier [--imap ADDR:PORT] [--imaps ADDR:PORT] [--prefix DIR] [--courier DIR]
    qmailctl queue [list|show|hold|release|expire|delete [N …] [--sender PATTERN] [--recipient PATTERN]
        [--older AGE] [--held] [--all] [--yes] [--wait SECONDS]]
    qmailctl doctor [--repair]
    qmailctl VERB [--home DIR]

install    lay QMAILHOME or mend it; run again it replaces code and touches no setting
start      start what is not running: queue and deliveries, SMTP, POP3
stop       stop all; deliveries under way are finished first
restart    stop, then start
stat       what runs, since when, and how long the queue is
queue      how long the queue is, what is in it, and what is held or set aside; or change it, see below
release N  have messages that are held or set aside tried again, by number or `all`
doqueue    try everything in the queue now (forgets dead hosts, sends ALRM to qmail-send)
reload     read control/locals and control/virtualdomains again (HUP), and the listeners' settings
cdb        compile the rules: control/tcp.smtp, tcp.pop3, tcp.qmtp and tcp.qmqp
pause      stop all services where they are; cont goes on
cont       go on after pause
doctor     compare installation and queue with what they should be, one line for each deviation; --repair mends
password   set the POP3 password of a private home, read from descriptor 0
vpopmail   make the home of virtual domains, or take over one as it is (with --sql: accounts can be in a database)
imap WHICH set up Courier IMAP (courier) or Dovecot (dovecot) on our accounts; start, stop, restart, stat: Courier's
run NAME   be the service NAME (send, rcptcheck, smtpd, pop3d, qmtpd, qmqpd) in the foreground: for systemd
help       this text, with the names of all settings

Messages are given to queue by number, or by filters that all must match: --sender and --recipient, patterns with * and
? of any case; --older 3d (2h, 30m, 90s), so long in the queue; --held; --all. list: a line each. show: with recipients,
failures and header. hold: nothing new is begun with them. release: they go on at once. expire: one attempt more, then
what is left bounces. delete: they are gone, and nobody hears of it. Without --yes the last two only tell.
--wait: how long for deliveries of such a message that are under way (60 s); then it stays as it is.
doctor --repair: while nothing runs, mend owners, modes, what is missing, and the queue, a copied one, too.

--home DIR: the installation to work on; without it the one this program stands in, and for install
/var/qmail (root) or ~/pyqmail-home (others). Exit codes: 0, 1 for deviations and for what could not
be done yet, 100 usage, 111 trouble.

**Security**: run by root, or by the user of a private home. Reads no input of strangers; as root it runs
nothing that others could have changed.
Source: the qmailctl of "Life with qmail", for the meaning of the verbs.
"""
import os
import socket
import sys
import time

from ..base import accounts, child, control, deadline, endpoint, errors, home, lock, pidfile, prot, sig
from ..base.errors import Temporary
from ..install import hands, services, startup, supervise
from ..queue import look, suspects
from ..rcptcheck import wire as rcptcheck

OPTIONS = {"--home": "home", "--smtp": "smtp", "--pop3": "pop3", "--venv": "venv", "--start": None,
           "--sql": None, "--imap": "imap", "--imaps": "imaps", "--prefix": "prefix", "--courier": "courier",
           "--sender": "sender", "--recipient": "recipient", "--older": "older", "--message": "message", "--wait": "wait",
           "--held": None, "--all": None, "--yes": None, "--repair": None}
STARTING = 15                       # s to wait for the services to answer
STOPPING = 60                       # s to wait for deliveries under way; they are finished in any case


def main(argv):
    os.umask(0o022)                 # what we make in control/ and run/ is read by every role
    options = parse([os.fsdecode(word) for word in argv])
    verb = options["words"].pop(0) if options and options["words"] else "help"
    if options is None or verb not in VERBS or options["words"] and verb not in ("run", "release", "imap", "queue"):
        say(f"qmailctl: usage: qmailctl {'|'.join(VERBS)} [--home DIR]")
        return errors.PERMANENT
    if verb == "install":
        return install(options)
    if "home" in options and os.path.realpath(options["home"]) != os.path.realpath(home.HOME):
        return hand_over(options["home"], argv)
    if verb == "imap":
        return imap(options)
    if verb in ("vpopmail", "queue", "doctor"):
        return VERBS[verb](options)
    return VERBS[verb](*options["words"])


def parse(words):
    """{"home": …, "words": […]} of the command line, None if it is wrong."""
    options = {"words": []}
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        if not word.startswith("--"):
            options["words"].append(word)
        elif name not in OPTIONS or OPTIONS[name] is None and equals:
            return None
        elif OPTIONS[name] is None:
            options[name.removeprefix("--")] = True
        elif equals or words:
            options[OPTIONS[name]] = value if equals else words.pop(0)
        else:
            return None
    return options


def say(line):
    os.write(1, os.fsencode(line) + b"\n")


def hand_over(directory, argv):
    """Another installation has its own qmailctl; root does not run one that somebody else may exchange."""
    program = os.path.join(os.path.realpath(directory), "bin/qmailctl")
    try:
        foreign = hands.root_may_not_trust(os.path.realpath(program))
        if foreign:
            raise Temporary(f"{foreign} can be changed by uid {os.stat(foreign).st_uid} or others: "
                            f"only the owner of {directory} can do this")
        os.execv(program, [os.fsencode(program), *argv])
    except OSError as why:
        raise Temporary(f"unable to run {program}: {errors.text(why)}") from why


# ---------------------------------------------------------------- install

def install(options):
    from ..install import setup, tour     # only here: tomllib, socket look-ups and the rest
    default = services.SYSTEM_HOME if os.geteuid() == 0 else os.path.expanduser(setup.PRIVATE_HOME)
    directory = os.path.realpath(options.get("home", default))
    run = setup.Setup(os.path.realpath(home.HOME), directory, tell=say,
                      **{name: options.get(name) for name in ("smtp", "pop3", "venv")})
    run.run()
    if options.get("start"):
        if run.root:
            setup.mailboxes.make_all(say)
        program = home.program("qmailctl")
        status = child.wait(child.start(program, [program, b"restart"], {0: 0, 1: 1, 2: 2}))
        if status:
            return status
    for line in tour.lines(run, bool(options.get("start"))):
        say(line)
    return 0


# ---------------------------------------------------------------- start and stop

def start():
    return start_services() or imap_servers("start")


def stop():
    return imap_servers("stop") or stop_services()


def imap_servers(verb):
    """Courier IMAP, if it was set up, goes with the rest."""
    if not os.path.exists(home.path("courier-imap")):
        return 0
    from ..install import courier   # only where there is one
    courier.with_services(verb)
    return 0


def start_services():
    services.check_owner()
    if managed := startup.by_systemd():
        startup.systemctl("start", managed)
        return wait_for_answers()
    one_at_a_time = os.open(home.path("run"), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if not lock.exclusive(one_at_a_time, 2 * STARTING):
            raise Temporary(f"unable to lock {home.path('run')}")
        return start_supervisor()
    except deadline.Expired:
        raise Temporary("another qmailctl start is still at it") from None
    finally:
        os.close(one_at_a_time)


def start_supervisor():
    supervisor = services.running("supervisor")
    if supervisor:
        say(f"already running (supervisor pid {supervisor.pid})")
        return wait_for_answers()
    for problem in obstacles():
        raise Temporary(problem)
    pid = os.fork()
    if pid == 0:
        detach_and_supervise()
    if child.wait(pid):
        raise Temporary("unable to start the supervisor")
    return wait_for_answers()


def obstacles():
    """Why the services cannot start now: what would otherwise be found in the log only."""
    if not control.exists("me"):
        yield "control/me does not exist"
    for service in services.wanted():
        process = services.running(service.name)
        if process:
            yield f"{service.name} is already running (pid {process.pid}), started by hand or by systemd"
        for address in services.addresses(service.name):
            try:
                if taken(address):
                    yield f"{address} is in use by another program: stop it, or change control/{service.control}"
            except ValueError as why:
                yield f"control/{service.control}: {why}"


def taken(address):
    try:
        endpoint.bind(*endpoint.parse(address)).close()
        return False
    except OSError as why:
        return errors.text(why) == "address already used"


def detach_and_supervise():
    """Never returns. python-daemon detaches and keeps the pid file; identities are not its business."""
    import daemon
    import daemon.pidfile
    path = home.path("run/supervisor.lock")
    held = daemon.pidfile.TimeoutPIDLockFile(path, acquire_timeout=5)
    if held.is_locked():            # by a supervisor that is gone: start() found none running
        held.break_lock()
    status = errors.TEMPORARY
    try:
        with daemon.DaemonContext(pidfile=held, umask=0o022, working_directory="/", detach_process=True,
                                  signal_map={}):
            pidfile.note("supervisor", os.getpid())
            supervise.Supervisor().run()
            pidfile.forget("supervisor")
        status = 0
    finally:
        os._exit(status)


def wait_for_answers():
    """Until every service answers. Status 1 if one does not in time."""
    deadline = time.monotonic() + STARTING
    while True:
        silent = [service.name for service in services.wanted() if not answers(service)]
        if not silent:
            return 0
        if time.monotonic() > deadline:
            for name in silent:
                say(f"{name} does not answer; its log: {services.log_place(name)}")
            return 1
        time.sleep(0.1)


def answers(service):
    process = services.running(service.name)
    if not process:
        return False
    if service.name == "send":
        return pidfile.catches(process, sig.ALRM) and queue_answers()
    if service.name == "rcptcheck":
        sock = rcptcheck.connect()
        if sock is not None:
            sock.close()
        return sock is not None
    from ..install import doctor    # 2 MB that the supervisor need not keep
    try:
        for address in services.addresses(service.name):
            socket.create_connection(doctor.reachable(address), 2).close()
        return True
    except OSError:
        return False


def queue_answers():
    from ..queue import wire
    sock = wire.connect() if home.ours("qmail-queue") else None
    if sock is not None:
        sock.close()
    return sock is not None or not home.ours("qmail-queue")


def stop_services():
    services.check_owner()
    if managed := startup.by_systemd():
        startup.systemctl("stop", managed)
    for name in services.NAMES:
        services.signal_all(name, sig.CONT)     # what is paused could not end
    for name in ("supervisor", *services.NAMES):
        services.signal(name, sig.TERM)
    told, deadline = False, time.monotonic() + STOPPING
    while left := [name for name in ("supervisor", *services.NAMES) if services.running(name)]:
        if time.monotonic() > deadline:
            say(f"still running: {', '.join(left)}. They were told to end and will, when their work is done.")
            return 1
        if not told and time.monotonic() > deadline - STOPPING + 3:
            say("waiting for deliveries and sessions under way")
            told = True
        time.sleep(0.1)
    return 0


def restart():
    return stop() or start()


# ---------------------------------------------------------------- looking

def stat():
    for service in services.wanted():
        process = services.running(service.name)
        if process is None:
            say(f"{service.name}: down")
        else:
            paused = ", paused" if services.stopped(process) else ""
            say(f"{service.name}: up (pid {process.pid}) {services.seconds_up(process)} seconds{paused}")
    if os.path.exists(home.path("courier-imap")):
        imap({"words": ["stat"]})
    return program("qmail-qstat")


def queue(options):
    if options["words"]:
        return messages(options["words"].pop(0), options)
    status = program("qmail-qstat") or program("qmail-qread")
    for number, why in sorted(look.held().items()):
        say(f"msg {number} is {why}; qmailctl release {number} has it tried again")
    return status


def messages(verb, options):
    from ..install import queue as admin        # only here
    if verb not in admin.VERBS:
        say(f"qmailctl: usage: qmailctl queue [{'|'.join(admin.VERBS)} N …|FILTER]")
        return errors.PERMANENT
    return admin.run(verb, options, say)


def release(*words):
    """As qmails: what is in run/qmail-send is its own."""
    services.check_owner()
    if not words or not all(word.isdigit() or word == "all" for word in words):
        say("qmailctl: usage: qmailctl release N ...|all")
        return errors.PERMANENT
    numbers = None if "all" in words else {int(word) for word in words}

    def work():
        os.chdir(home.path("queue"))
        prot.become(accounts.uid("qmails"), accounts.gid("qmail"))
        released = suspects.release(numbers)
        for number in released:
            say(f"released {number}")
        return 0 if released else errors.TEMPORARY
    if child.wait(child.fork(work)):
        say("nothing was released")
        return 1
    tell(("send",), sig.HUP)
    return 0


def program(name, *arguments):
    """Run bin/NAME with our descriptors; its exit code."""
    path = home.program(name)
    return child.wait(child.start(path, [os.fsencode(path), *arguments], {0: 0, 1: 1, 2: 2}))


def check(options):
    if "repair" in options:
        from ..install import repair    # only here
        services.check_owner()
        repair.run(say)
    from ..install import doctor    # see answers()
    found = False
    for line in doctor.complaints():
        found = True
        say(line)
    if not found:
        say("all is as it should be")
    return 1 if found else 0


# ---------------------------------------------------------------- signals and settings

def doqueue():
    say("Forgetting dead hosts and telling qmail-send to try everything now.")
    return program("qmail-tcpok") or tell(("send",), sig.ALRM)


def reload():
    return tell([service.name for service in services.wanted()], sig.HUP)


def pause():
    return tell([service.name for service in services.wanted()], sig.STOP, services.signal_all)


def cont():
    return tell([service.name for service in services.wanted()], sig.CONT, services.signal_all)


def tell(names, number, send=services.signal):
    """Send a signal to services; status 1 if one does not run."""
    services.check_owner()
    status = 0
    for name in names:
        if not send(name, number):
            say(f"{name} is not running")
            status = 1
    return status


def cdb():
    for path in services.compile_rules():
        say(f"compiled {path}")
    return 0


def password():
    from ..auth import poppasswd
    import pwd
    services.check_owner()
    if not accounts.private():
        raise Temporary("this is not a private home: POP3 uses the system's passwords")
    given = sys.stdin.buffer.readline().rstrip(b"\n")
    poppasswd.put(os.fsencode(pwd.getpwuid(os.geteuid()).pw_name), given)
    return 0


def vpopmail(options):
    from ..install import virtual   # only here
    services.check_owner()
    virtual.make(say)
    if "sql" in options:
        from ..vpopmail import command
        url = command.ask(b"URL of the database (empty: as it is): ") if os.isatty(0) else command.read_line(0)
        virtual.connect(os.fsdecode(url.strip()), say)
    return 0


def imap(options):
    from ..install import imap as servers   # only here
    actions = {**servers.SERVERS, **servers.COURIER}
    if len(options["words"]) != 1 or options["words"][0] not in actions:
        say(f"qmailctl: usage: qmailctl imap {'|'.join(actions)}")
        return errors.PERMANENT
    services.check_owner()
    actions[options["words"][0]](say, options)
    return 0


def run(name=""):
    if name not in services.NAMES:
        say(f"qmailctl: usage: qmailctl run {'|'.join(services.NAMES)}")
        return errors.PERMANENT
    services.check_owner()
    return services.become(services.by_name(name))


def usage():
    from ..base import controls     # only here
    say(__doc__.partition("\n\n**Security**")[0])
    say("\nSettings, files in control/ (qmail-showctl tells what they say here, qmail-control(5) more):\n")
    for entry in sorted(controls.CONTROLS, key=lambda entry: entry.name):
        say(f"{entry.name:20}{entry.meaning}")
    return 0


VERBS = {"install": install, "start": start, "stop": stop, "restart": restart, "stat": stat, "queue": queue,
         "release": release, "doqueue": doqueue, "reload": reload, "cdb": cdb, "pause": pause, "cont": cont,
         "doctor": check, "password": password, "vpopmail": vpopmail, "imap": imap, "run": run, "help": usage}
