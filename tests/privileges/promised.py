"""What each process can do: the table that we promise, and doc/PRIVILEGES.md, which is made from it.

ROLES: {process: {target: letters}}; what is not there is not possible. Letters: of a file r read, w write; of a
directory (its name ends with "/") r list, c create in, d delete in; of a process s signal, p look into its memory and
trace it; of the rest x use, o connect, l listen, c create.
"""
import textwrap

FILES = """queue/mess/message queue/info/message queue/remote/message queue/lock/sendmutex queue/lock/trigger
    queue/lock/tcpto bin/qmail-send pyqmail/base/prot.py control/me users/cdb run/login-failures log/send/current
    alias/.qmail-list ~another/Maildir/new/message ~another/.profile domain/vpasswd domain/vpasswd.cdb /etc/passwd
    /etc/shadow""".split()
DIRECTORIES = """queue/ queue/pid/ queue/intd/ queue/todo/ queue/bounce/ queue/lock/ queue/mess/ queue/info/
    queue/local/ queue/remote/ bin/ pyqmail/ control/ users/ run/ run/qmail-queue/ run/qmail-rcptcheck/
    run/qmail-send/ alias/ log/ log/send/ ~alias/Maildir/new/ ~user/ ~user/Maildir/new/ ~another/
    ~another/Maildir/new/ domain/
    domain/joe/Maildir/new/ VPOPHOME/ VPOPHOME/domains/ /etc/ /tmp/ /root/ /""".split()
SOCKETS = ("run/qmail-queue/socket", "run/qmail-rcptcheck/socket", "TCP connections", "UDP")
LISTENING = ("TCP port, listening", "TCP port below 1024, listening")
USED = ("other programs", "rights of set-uid programs", "ptrace", "keyrings", "io_uring", "performance counters")
CREATED = ("new processes", "new namespaces")
TARGETS = (*FILES, *DIRECTORIES, *SOCKETS, *LISTENING, *USED, *CREATED)
PATHS = {*FILES, *DIRECTORIES, *SOCKETS[:2]}
DEPENDS = ("new namespaces", "ptrace", "keyrings", "io_uring", "performance counters")     # on the kernel's settings

# uid, and the processes that have it
UIDS = {
    "root": ("qmailctl supervise", "qmail-lspawn", "qmail-rcptcheck", "qmail-popup, authenticator", "qmail-popup, a login",
             "qmail-popup, password check", "qmail-popup by itself", "checkpassword", "vchkpw", "authvchkpw",
             "authdaemond, keeper", "authdaemond, a request", "vpopmaild"),
    "qmails": ("qmail-send",),
    "qmailq": ("qmail-clean", "qmail-queue, guardian", "qmail-queue, worker"),
    "qmailr": ("qmail-rspawn, guardian", "qmail-rspawn", "qmail-remote by itself"),
    "qmailp": ("qmail-lspawn, look-ups", "qmail-rcptcheck, front", "qmail-rcptcheck, look-ups"),
    "qmaill": ("qmail-log", "splogger"),
    "qmaild": ("qmail-smtpd", "qmail-smtpd worker", "qmail-smtpd by itself",
               "qmail-qmtpd", "qmail-qmtpd worker", "qmail-qmtpd by itself",
               "qmail-qmqpd", "qmail-qmqpd worker", "qmail-qmqpd by itself",
               "qmail-popup", "qmail-popup worker", "qmail-popup by itself, front", "vpopmaild, front"),
    "authdaemon": ("authdaemond",),
    "the user": ("qmail-local", "qmail-local by itself", "qmail-pop3d", "qmail-pop3d by itself", "a .qmail command",
                 "qmail-rcptcheck look"),
    "alias": ("qmail-local as alias", "qmail-rcptcheck look as alias"),
    "the domain's owner": ("qmail-local of a domain", "qmail-rcptcheck look of a domain", "authdaemond, an account"),
    "whoever starts it": ("qmail-inject", "sendmail", "qmail-queue by hand", "qmail-pw2u", "qmail-qmqpc"),
}
# others of the same uid may look into these: they hold nothing that those do not have anyway
OPEN = (
    "qmail-send", "qmail-clean", "qmail-queue, guardian", "qmail-queue, worker", "qmail-rspawn, guardian", "qmail-rspawn",
    "qmail-remote by itself", "qmail-log", "splogger", "a .qmail command", "qmail-local by itself",
    "qmail-inject", "sendmail", "qmail-queue by hand", "qmail-pw2u", "qmail-qmqpc")


def can(*parts):
    """One dictionary of several, and of texts "LETTERS: TARGET | TARGET | …; …"; letters add up."""
    found = {}
    for part in parts:
        if isinstance(part, str):
            part = {target.strip(): letters.strip() for letters, _, targets in
                    (entry.partition(":") for entry in part.split(";")) for target in targets.split("|")}
        for target, letters in part.items():
            assert target in TARGETS, target
            found[target] = "".join(letter for letter in "rwcdoxl" if letter in found.get(target, "") + letters)
    return found


def without(part, *targets):
    assert set(targets) <= set(part)
    return {target: letters for target, letters in part.items() if target not in targets}


ANYBODY = can("""r: bin/ | pyqmail/ | control/ | users/ | run/ | run/qmail-queue/ | run/qmail-send/ | alias/ |
    /etc/ | / | bin/qmail-send | pyqmail/base/prot.py | control/me | users/cdb | alias/.qmail-list | /etc/passwd |
    VPOPHOME/;
    rc: /tmp/; o: run/qmail-queue/socket | TCP connections | UDP; l: TCP port, listening;
    x: other programs | rights of set-uid programs | ptrace | keyrings | io_uring | performance counters;
    c: new processes | new namespaces""")
NO_RIGHTS = without(ANYBODY, "rights of set-uid programs")
ROOT = can(dict.fromkeys(FILES, "rw"), dict.fromkeys(DIRECTORIES, "rcd"), dict.fromkeys(SOCKETS, "o"),
           dict.fromkeys(LISTENING, "l"), dict.fromkeys(USED, "x"), dict.fromkeys(CREATED, "c"))
NOFILES = "r: log/ | log/send/ | log/send/current | run/qmail-rcptcheck/; o: run/qmail-rcptcheck/socket"
QMAIL = "r: queue/ | queue/todo/ | queue/lock/ | queue/mess/ | queue/mess/message"
QMAILQ = can("""rcd: queue/ | queue/pid/ | queue/intd/ | queue/todo/ | queue/lock/ | queue/mess/ | run/qmail-queue/;
    rw: queue/mess/message; r: queue/lock/tcpto; w: queue/lock/trigger""")
QMAILS = can("""rcd: queue/bounce/ | queue/info/ | queue/local/ | queue/remote/ | run/qmail-send/; r: queue/lock/tcpto;
    rw: queue/info/message | queue/remote/message | queue/lock/sendmutex | queue/lock/trigger""")
QMAILR = "rw: queue/lock/tcpto; w: queue/lock/trigger"
QMAILP = "rcd: run/qmail-rcptcheck/"
USER = "rcd: ~user/ | ~user/Maildir/new/"
ALIAS = "rcd: alias/ | ~alias/Maildir/new/; rw: alias/.qmail-list"
OWNER = "rcd: domain/ | domain/joe/Maildir/new/; rw: domain/vpasswd | domain/vpasswd.cdb"

CLASSIC = ("qmail-smtpd by itself", "qmail-qmtpd by itself", "qmail-qmqpd by itself")
TALKING = ("qmail-popup by itself, front", "vpopmaild, front", "authdaemond")   # to strangers, and do nothing else
CALLERS = ("qmail-inject", "sendmail", "qmail-queue by hand", "qmail-pw2u")

BY_UID = {                          # what uids and modes give
    "qmailctl supervise": ROOT,
    "qmail-send": can(NO_RIGHTS, QMAIL, QMAILS),
    "qmail-clean": can(NO_RIGHTS, QMAILQ),
    "qmail-lspawn": ROOT,
    "qmail-lspawn, look-ups": can(ANYBODY, NOFILES, QMAILP),
    "qmail-local": can(ANYBODY, USER),
    "qmail-local by itself": can(ANYBODY, USER),
    "qmail-local as alias": can(ANYBODY, NOFILES, ALIAS),
    "qmail-local of a domain": can(ANYBODY, OWNER),
    "a .qmail command": can(ANYBODY, USER),
    "qmail-rspawn, guardian": can(NO_RIGHTS, QMAIL, QMAILR),
    "qmail-rspawn": can(NO_RIGHTS, QMAIL, QMAILR),
    "qmail-remote by itself": can(NO_RIGHTS, QMAIL, QMAILR),
    "qmail-queue, guardian": can(NO_RIGHTS, NOFILES, QMAILQ),
    "qmail-queue, worker": can(NO_RIGHTS, NOFILES, QMAILQ),
    "qmail-log": can(NO_RIGHTS, NOFILES, "rcd: log/ | log/send/; rw: log/send/current"),
    "qmail-smtpd": can(ANYBODY, NOFILES),
    "qmail-smtpd worker": can(NO_RIGHTS, NOFILES),
    "qmail-qmtpd": can(ANYBODY, NOFILES),
    "qmail-qmtpd worker": can(NO_RIGHTS, NOFILES),
    "qmail-qmqpd": can(ANYBODY, NOFILES),
    "qmail-qmqpd worker": can(NO_RIGHTS, NOFILES),
    **dict.fromkeys(CLASSIC, can(NO_RIGHTS, NOFILES)),
    "qmail-rcptcheck": without(ROOT, "rights of set-uid programs"),
    "qmail-rcptcheck, front": can(NO_RIGHTS, NOFILES, QMAILP),
    "qmail-rcptcheck, look-ups": can(NO_RIGHTS, NOFILES, QMAILP),
    "qmail-rcptcheck look": can(NO_RIGHTS, USER),
    "qmail-rcptcheck look as alias": can(NO_RIGHTS, NOFILES, ALIAS),
    "qmail-rcptcheck look of a domain": can(NO_RIGHTS, OWNER),
    "qmail-popup, authenticator": ROOT,
    "qmail-popup": can(NO_RIGHTS, NOFILES),
    "qmail-popup worker": can(NO_RIGHTS, NOFILES),
    "qmail-popup, a login": ROOT,
    "qmail-popup, password check": ROOT,
    "qmail-popup by itself": ROOT,
    "qmail-popup by itself, front": can(NO_RIGHTS, NOFILES),
    "qmail-pop3d": can(ANYBODY, USER),
    "qmail-pop3d by itself": can(NO_RIGHTS, USER),
    "checkpassword": ROOT,
    "vchkpw": ROOT,
    "authvchkpw": ROOT,
    "authdaemond": NO_RIGHTS,
    "authdaemond, keeper": ROOT,
    "authdaemond, a request": ROOT,
    "authdaemond, an account": can(ANYBODY, OWNER),
    "vpopmaild": ROOT,
    "vpopmaild, front": can(NO_RIGHTS, NOFILES),
    **dict.fromkeys(CALLERS, ANYBODY),
    "qmail-qmqpc": NO_RIGHTS,
    "splogger": can(NO_RIGHTS, NOFILES),
}
# row of limits.TABLE, and the processes that it holds for
LIMITED = {
    "qmail-send": ("qmail-send",), "qmail-clean": ("qmail-clean",), "qmail-log": ("qmail-log",),
    "qmail-rspawn": ("qmail-rspawn",), "qmail-remote": ("qmail-remote by itself",),
    "qmail-lspawn look-ups": ("qmail-lspawn, look-ups",),
    "qmail-queue": ("qmail-queue, guardian", "qmail-queue, worker"),
    "qmail-smtpd": ("qmail-smtpd worker", "qmail-smtpd by itself"),
    "qmail-qmtpd": ("qmail-qmtpd worker", "qmail-qmtpd by itself"),
    "qmail-qmqpd": ("qmail-qmqpd worker", "qmail-qmqpd by itself"), "qmail-qmqpc": ("qmail-qmqpc",),
    "qmail-popup": ("qmail-popup worker", "qmail-popup by itself, front", "qmail-popup, password check"),
    "qmail-pop3d": ("qmail-pop3d", "qmail-pop3d by itself"), "qmail-rcptcheck": ("qmail-rcptcheck, front",),
    "authdaemond": ("authdaemond", "authdaemond, keeper", "authdaemond, a request", "authdaemond, an account"),
    "vpopmaild": ("vpopmaild", "vpopmaild, front"), "splogger": ("splogger",),
}
# programs that have no row: they have the rights of who starts them, as the rows show that are told with these
OF_A_LINE = """bouncesaying condredirect except forward maildirmake preline qbiff qreceipt qsmhook vdelivermail""".split()
OF_CALLERS = """clearopensmtp datemail dnsfq dnsip dnsmxip dnsptr dotqmail2valias elq hostname instcheck ipmeprint
    maildir2mbox maildirwatch mailsubj pinq predate qail qmail-config qmail-getpw qmail-newmrh qmail-newu qmail-qread
    qmail-qstat qmail-showctl qmail-start qmail-tcpok qmail-tcpto qmail-upq qmailctl tcp-env tcprules vaddaliasdomain
    vadddomain vadduser valias vchangepw vconvert vdeldomain vdeloldusers vdeluser vdominfo vipmap vkill vmkpasswd
    vmoddomlimits vmoduser vpasswd vpopbull vrcptcheck vsetuserquota vuserinfo vverifypw""".split()
GIVEN_UP = {*USED, *LISTENING, "new namespaces"}
ALONE = {*GIVEN_UP, *SOCKETS, "new processes"}


def narrowed(role, given_up):
    return {target: letters for target, letters in BY_UID[role].items() if target not in given_up}


PYTHON = "r: pyqmail/ | pyqmail/base/prot.py"
SUBMITTING = can(PYTHON, """r: bin/ | control/ | run/qmail-queue/ | run/qmail-rcptcheck/ | /etc/ | users/ | run/ |
    run/qmail-send/ | alias/ | log/ | log/send/ | bin/qmail-send | control/me | /etc/passwd;
    o: run/qmail-queue/socket | run/qmail-rcptcheck/socket | UDP; c: new processes""")
CARRYING = can(PYTHON, """r: bin/ | control/ | /etc/ | bin/qmail-send | control/me | /etc/passwd;
    rw: queue/lock/tcpto; o: TCP connections | UDP""")
KEEPING = can(PYTHON, """r: queue/ | queue/lock/ | bin/ | control/ | users/ | run/ | run/qmail-rcptcheck/ |
    run/qmail-send/ | alias/ | log/ | log/send/ | /etc/ | queue/lock/tcpto | bin/qmail-send | /etc/passwd;
    rcd: queue/pid/ | queue/intd/ | queue/todo/ | queue/mess/ | run/qmail-queue/; rw: queue/mess/message;
    w: queue/lock/trigger; o: run/qmail-queue/socket | run/qmail-rcptcheck/socket; c: new processes""")
TOGETHER = {"qmail-queue, guardian", "qmail-queue, worker"}     # confined before one forks the other
CONFINED = {                        # what base/sandbox.py leaves of that
    "qmail-send": can(PYTHON, QMAILS, """r: queue/ | queue/todo/ | queue/lock/ | queue/mess/ | bin/ | control/ | users/ |
        run/ | run/qmail-queue/ | alias/ | /etc/ | queue/mess/message | bin/qmail-send | control/me | /etc/passwd;
        o: run/qmail-queue/socket; c: new processes"""),
    "qmail-rspawn": can(CARRYING, "r: queue/mess/ | queue/mess/message"),
    "qmail-remote by itself": CARRYING,
    "qmail-queue, guardian": KEEPING,
    "qmail-queue, worker": KEEPING,
    "qmail-clean": can(PYTHON, "rd: queue/pid/ | queue/intd/ | queue/todo/ | queue/mess/"),
    "qmail-lspawn, look-ups": narrowed("qmail-lspawn, look-ups", {*GIVEN_UP, "new processes"}),
    "qmail-log": can(PYTHON, "rcd: log/send/; rw: log/send/current"),
    "qmail-smtpd worker": SUBMITTING,
    "qmail-qmtpd worker": SUBMITTING,
    "qmail-qmqpd worker": SUBMITTING,
    **dict.fromkeys(CLASSIC, SUBMITTING),
    **dict.fromkeys(TALKING, can(PYTHON)),
    "qmail-qmqpc": can(PYTHON, "o: TCP connections | UDP"),
    "splogger": can(PYTHON, "r: /etc/ | /etc/passwd; o: run/qmail-queue/socket | run/qmail-rcptcheck/socket"),
    "qmail-rcptcheck": narrowed("qmail-rcptcheck", GIVEN_UP),
    "qmail-rcptcheck, front": narrowed("qmail-rcptcheck, front", ALONE),
    "qmail-rcptcheck, look-ups": narrowed("qmail-rcptcheck, look-ups", {*GIVEN_UP, "new processes"}),
    "qmail-rcptcheck look": narrowed("qmail-rcptcheck look", GIVEN_UP),
    "qmail-rcptcheck look as alias": narrowed("qmail-rcptcheck look as alias", GIVEN_UP),
    "qmail-rcptcheck look of a domain": narrowed("qmail-rcptcheck look of a domain", GIVEN_UP),
    "qmail-popup worker": can(PYTHON, """r: control/ | control/me;
        o: run/qmail-queue/socket | run/qmail-rcptcheck/socket"""),
    "qmail-pop3d": can(PYTHON, "rcd: ~user/Maildir/new/"),
    "qmail-pop3d by itself": can(PYTHON, "rcd: ~user/Maildir/new/"),
}
ROLES = {**BY_UID, **CONFINED}
UID = {role: uid for uid, roles in UIDS.items() for role in roles}
assert set(UID) == set(ROLES)


def letters(role, target, table=CONFINED):
    """What we promise of a target, `process ROLE` too. table: BY_UID for what uids alone give."""
    other = target.removeprefix("process ")
    if other not in ROLES:
        return table.get(role, BY_UID[role]).get(target, "")
    if role in table and table is CONFINED:     # root has power over what it has forked, others over themselves
        within = other == role or UID[role] == "root" and other.startswith(role) or {role, other} == TOGETHER
        return "" if not within else "sp" if UID[role] == "root" else "s"
    if UID[role] == "root":
        return "sp"
    return "sp" if other == role or UID[other] == UID[role] and other in OPEN else "s" * (UID[other] == UID[role])


# ---------------------------------------------------------------- for people

NOTES = {
    "qmail-local": """It runs what users' .qmail files say and writes to mailboxes wherever users have put them, so it must
        be able to do what its user can. It is nobody else: the uid is given up for good before a message is opened.""",
    "a .qmail command": f"""Whatever a line of a .qmail file names. Of ours: {", ".join(OF_A_LINE)}.""",
    "qmail-lspawn": "It becomes any user but root, and reads nothing but orders of qmail-send and answers of its look-ups.",
    "qmail-popup, a login": "Until the password is checked; after that it is qmail-pop3d.",
    "qmail-popup, password check": """PAM's modules and the databases of accounts may need anything. It gets a name and a
        password of bounded length, and ends with its answer.""",
    "qmail-popup by itself": """It runs the checker, which may be any program. What a client says goes to the front,
        which gives it two fields of bounded length.""",
    "checkpassword": "Until it becomes the user and executes the next program.",
    "vchkpw": "The same, for the users of virtual domains.",
    "authvchkpw": "The same, for Courier-IMAP 1.x.",
    "authdaemond": "The front, which reads what clients write.",
    "authdaemond, keeper": "It gets the fields of a request, bounded in number and length, and forks.",
    "authdaemond, a request": "It finds the domain, opens the relay, and answers; it checks accounts of the system.",
    "authdaemond, an account": """It reads the account and compares. Accounts may be in a database that is reached in any
        way, so it has all that the owner has.""",
    "vpopmaild": """It makes and removes domains, for whoever has logged in. What comes before that is read by the
        front.""",
    "qmail-inject": f"""They have the rights of who starts them, root's if that is root; so have these, which have no row of
        their own: {", ".join(OF_CALLERS)}.""",
    "qmail-queue by hand": """Here somebody who is neither root nor qmailq has started it: it passes the message to the
        queue service.""",
}
TOLD_TOGETHER = {CALLERS[0]: CALLERS, CLASSIC[0]: CLASSIC}
HEAD = """<!-- made by tests/privileges/generate from tests/privileges/promised.py -->
# What each process can do

This is checked: `tests/run tests/privileges` starts a whole system with a probe in the place of each program, which
has its uid, groups, descriptors, directory and whatever the program has put around itself. The probe tries each target
below, and one answer that is not as here fails the test. What is not listed for a process is not possible for it.

Names without a leading `/` are below the home. A *message* is one that is in the queue; *user* is who gets mail,
*another* another user with a Maildir; *domain* is a virtual domain with an owner of its own, *joe* one of its accounts.
Homes have the mode 0700. To look into a process is to read its memory and to trace it; nobody but root can do so with
processes of another uid, or signal them. *Confined* means that the program has given up rights that its uid has, by
Landlock and seccomp; on a kernel without them it has what its uid has, and those that live long say so in the log.
*By itself* is a program that was started for one connection or message: by tcpserver, inetd or a person. Whether there
are {depends}
for anybody depends on the kernel.

What a process holds, its descriptors and its directory, is tested by `tests/system/test_identities.py`; who they are
and what they read is told in [SECURITY.md](SECURITY.md).
"""
WORDS = (                           # letter, which targets, word
    ("r", "/", "lists"), ("c", "/", "creates in"), ("d", "/", "deletes in"), ("r", "", "reads"), ("w", "", "writes"),
    ("o", "", "connects to"), ("l", "", "opens"), ("x", "", "uses"), ("c", "", "makes"),
)


def item(word, names):
    return textwrap.fill(f"- {word} {names}", 118, subsequent_indent="  ", break_on_hyphens=False)


def lines(part):
    """Markdown list of a {target: letters}."""
    for letter, end, word in WORDS:
        names = [name for name in TARGETS if letter in part.get(name, "") and name.endswith("/") == bool(end)]
        if names:
            yield item(word, ", ".join(f"`{name}`" if name in PATHS else name for name in names))


def beyond(part, known):
    """What `part` has that `known` has not."""
    more = {target: "".join(letter for letter in held if letter not in known.get(target, ""))
            for target, held in part.items()}
    return {target: held for target, held in more.items() if held}


def section(role):
    part, uid, together = ROLES[role], UID[role], TOLD_TOGETHER.get(role, (role,))
    if any(role in others[1:] for others in TOLD_TOGETHER.values()):
        return
    yield f"\n### {', '.join(together)}\n"
    for each in together:
        if each in NOTES:
            yield textwrap.fill(" ".join(NOTES[each].split()), 118, break_on_hyphens=False) + "\n"
    yield f"uid: {uid}. " + told(role, part) + "\n"
    if uid == "root":
        return
    full = not beyond(NO_RIGHTS, part)
    yield from lines(beyond(part, ANYBODY) if full else part)
    others = {what: [other for other in ROLES if other not in together and letter in letters(role, f"process {other}")]
              for letter, what in (("s", "signals"), ("p", "looks into"))}
    yield from (item(what, "; ".join(names)) for what, names in others.items() if names)


def told(role, part):
    if not beyond(ROOT, part):
        return "Everything."
    if UID[role] == "root":
        return "Confined: everything but the following, and power over processes that it has not started.\n\n" + \
            item("no", "; ".join(beyond(ROOT, part)))
    if part == ANYBODY:
        return "What anybody can."
    if not beyond(ANYBODY, part):
        return "What anybody can, and:"
    if not beyond(NO_RIGHTS, part):
        return "What anybody can without set-uid programs, and:"
    return "Confined. Nothing but:"


def document():
    yield HEAD.format(depends=", ".join(DEPENDS))
    yield "\n## Anybody\n\nWhat any user of the machine can, and most of our processes, too:\n"
    yield from lines(ANYBODY)
    yield "\n## Processes"
    for role in ROLES:
        yield from section(role)


def text():
    return "".join(f"{line}\n" for line in document()).replace("\n\n\n", "\n\n")
