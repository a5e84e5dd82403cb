"""The tables of the manual, each a function that yields lines of mdoc. A page asks for one by its name in TABLES."""
import importlib

from loglines import log_lines, logged
from markup import ROOT, code, evaluate, plain, quoted, references, sentence


# ---------------------------------------------------------------- the tables

def controls(program=None):
    """All control files, or those of one program."""
    table = code.base.controls
    chosen = [control for control in table.CONTROLS if program is None or concerns(control, program)]
    assert chosen, program
    for control in sorted(chosen, key=lambda control: control.name):
        yield f".It Pa control/{control.name}" if program else f".It Pa {control.name}"
        yield sentence(control.meaning)
        yield from default(control)
        if program is None:
            if control.name == "me":
                yield "Read by nearly all programs."
            else:
                yield "Read by"
                *others, last = references(control.programs.split(", "))
                yield from others
                yield f"{last} ."
            if control.own:
                yield "Not in qmail."


def concerns(control, program):
    if control.programs == "all":
        return program in ("qmail-send", "qmail-smtpd", "qmail-remote", "qmail-inject", "qmail-popup")
    return program in [name.partition(" ")[0] for name in control.programs.split(", ")]


def default(control):
    table = code.base.controls
    if control.default is table.ME:
        yield from ("Default:", ".Pa control/me .")
    elif control.name == "me":
        yield "Must exist."
    elif control.default is not None:
        yield f"Default: {control.default}."
    elif control.kind == table.LINES:
        yield "A list."
        yield f"Without the file: {control.without}."


def tree():
    """QMAILHOME with owners and modes."""
    for path, owner, group, mode, kind in code.install.hier.TREE:
        if path.startswith("man/cat"):
            continue
        split = path.endswith("/SPLIT")
        yield f".It Pa {'QMAILHOME' if path == '.' else path.removesuffix('/SPLIT')}"
        yield plain(f"{kind}, {owner}:{group}, mode {mode:04o}" + (", with 0 to 22 in it" if split else ""))


def roles():
    meaning = {"alias": "Owner of the mail for addresses that no other user controls.",
               "qmaild": "Network daemons.", "qmaill": "Loggers.", "qmailp": "Look-ups of accounts.",
               "qmailq": "The queue: qmail-queue, its service, qmail-clean.", "qmailr": "Remote deliveries.",
               "qmails": "qmail-send."}
    for role, group in code.base.accounts.ROLES:
        yield f".It {role}"
        yield f"Group {group}."
        yield meaning.pop(role)
    assert not meaning


def queue_own():
    """Exit codes that bin/qmail-queue and the service give."""
    insert = code.queue.insert
    words = {0: "The message is queued and will survive a power failure.",
             insert.TOO_LONG: f"An address is longer than {insert.ADDRESS} bytes.",
             51: "Out of memory.", insert.TIMEOUT: "Timeout.",
             insert.WRITE_ERROR: "Write error; the disk may be full.",
             insert.READ_ERROR: "The message or the envelope cannot be read, or the envelope ends too early.",
             insert.NO_HOME: "The home directory cannot be entered.",
             insert.NO_QUEUE: "The queue directory cannot be entered, or the queue service is not there.",
             insert.NO_PID: "No file can be made in pid/.", insert.NO_MESS: "No file can be made in mess/.",
             insert.NO_INTD: "No file can be made in intd/.", insert.NO_TODO: "No link can be made in todo/.",
             code.queue.worker.FULL: "The queue service has too many submissions at once.",
             code.queue.wire.LOST: "Internal bug, or the service ended without an answer.",
             insert.BAD_ENVELOPE: "The envelope is not in the right format."}
    for number, text in sorted(words.items()):
        assert number in code.queue.client.ANSWERS
        yield f".It {number}"
        yield text


def queue_answers():
    """What callers make of exit codes."""
    answers = code.queue.client.ANSWERS
    for number in sorted(answers):
        if number:
            kind = "Permanent" if answers[number][:1] == b"D" else "Temporary"
            yield f".It {number}"
            yield f"{kind}: {answers[number][1:].decode()}"


def lspawn_codes():
    ending = code.spawn.ending
    meaning = {b"K": "success", b"Z": "temporary failure", b"D": "permanent failure"}
    found = {number: f"{meaning[letter]}, with the output of the program" for number, letter in ending.LETTERS.items()}
    for number, report in ending.REPORTS.items():
        found[number] = f"{meaning[report[:1]]}: {report[1:].decode().strip()}"
    for number in sorted(found):
        yield f".It {number}"
        yield sentence(found[number])


def command_codes():
    command = code.delivery.command
    yield ".It 0"
    yield "Success."
    yield f".It {command.SKIP_REST}"
    yield "Success; the lines of the .qmail file after this one are ignored."
    hard = sorted(command.HARD - {100})
    yield ".It 100"
    yield "Permanent failure: the message bounces."
    yield f"So it does for {', '.join(map(str, hard[:-1]))} and {hard[-1]}."
    yield ".It other"
    yield "Temporary failure: the delivery will be tried again."
    yield "111 is the usual one."


def verbs():
    """qmailctl's verbs, from its own help text."""
    text = importlib.import_module("pyqmail.programs.qmailctl").__doc__
    block = text.split("\n\n")[2]
    for line in block.split("\n"):
        verb, _, meaning = line.partition("  ")
        name, _, argument = verb.partition(" ")
        if not meaning:
            verb, meaning = line[:11].strip(), line[11:]
            name, _, argument = verb.partition(" ")
        yield f".It Cm {name}" + (f" Ar {argument.lower()}" if argument else "")
        yield sentence(meaning.strip())


def services():
    """The services of an installation."""
    for service in code.install.services.SERVICES:
        yield f".It {service.name}"
        yield sentence(service.about)
        yield "Executes"
        yield f".Ic {' '.join(service.argv)}" + (" ," if service.control else " .")
        if service.control:
            yield from ("control file", f".Pa control/{service.control} .")


def replies():
    """All of qmail-smtpd's replies, in the order of their numbers."""
    session = code.smtp.session
    found = {value.decode().strip() for name, value in vars(importlib.import_module("pyqmail.smtp.session")).items()
             if isinstance(value, bytes) and value.endswith(b"\r\n")}
    found |= {"220 GREETING ESMTP", "221 GREETING", "250 ok SECONDS qp NUMBER", "451 TEXT", "554 TEXT"}
    assert session.OK.decode().strip() in found
    for line in sorted(found):
        yield f".It Li {quoted(line)}"


def programs_table(program):
    """Control files of one program as a list of its own."""
    yield ".Bl -tag -width Ds"
    yield from controls(program)
    yield ".El"


LIMITS = (
    ("The queue", (
        ("bytes of an envelope address", "queue.insert.ADDRESS"),
        ("seconds until a qmail-queue gives up", "queue.names.DEATH"),
        ("seconds of age at which an unfinished file in the queue is removed", "queue.names.OSSIFIED"),
        ("submissions to the queue service at once by qmaild", 'queue.places.PER_USER["qmaild"]'),
        ("the same by qmails", 'queue.places.PER_USER["qmails"]'),
        ("the same by any other uid", "queue.places.PER_STRANGER"),
        ("the same by all other uids together", "queue.places.STRANGERS"),
        ("seconds that a submission may be silent", "queue.worker.IDLE"),
        ("subdirectories of each of mess, info, local, remote", "queue.names.SPLIT"),
    )),
    ("Deliveries", (
        ("local deliveries at once, whatever control/concurrencylocal says", "spawn.wire.HELLO"),
        ("remote deliveries at once, if qmail-send or qmail-rspawn is not pyqmail's", "spawn.wire.HELLO"),
        ("remote deliveries at once", "programs.qmail_rspawn.WIDE_MAX"),
        ("bytes that are kept of what a local delivery prints", "spawn.ending.OUTPUT_MAX"),
        ("bytes that are kept of a report", "spawn.wire.REPORT_MAX"),
        ("bounces sent at once", "send.finish.BOUNCES"),
        ("seconds between two looks into todo without the trigger", "send.todo.SCAN_EVERY"),
        ("seconds until something that failed for reasons of the system is tried again", "send.scheduler.RETRY"),
        ("bytes of a .qmail file", "delivery.dotqmail.SIZE"),
        ("seconds for a delivery to a Maildir", "delivery.deliver.DAY"),
        ("seconds to wait for the lock of an mbox", "base.mbox.PATIENCE"),
        ("bytes of an account name", "users.passwd.NAME_MAX"),
    )),
    ("SMTP in", (
        ("connections at once, without control/concurrencyincoming", "smtp.server.TOTAL"),
        ("connections at once, whatever it says", "smtp.server.TOTAL_MAX"),
        ("bytes of a command line", "smtp.commands.LIMIT"),
        ("bytes of an address", "smtp.grammar.LONGEST"),
        ("recipients of a message, without control/maxrecipients", "smtp.policy.RECIPIENTS"),
        ("bytes of all recipients of a message together", "smtp.policy.ENVELOPE"),
        ("Received and Delivered lines in a header", "smtp.data.LOOPING"),
        ("seconds for each read and write, without control/timeoutsmtpd", "smtp.policy.TIMEOUT"),
        ("unknown recipients of a connection, without control/maxunknown", "smtp.policy.UNKNOWN"),
        ("seconds for which a mailbox is believed to exist", "rcptcheck.front.KEPT"),
        ("recipients being checked at once", "rcptcheck.front.UNDER_WAY"),
        ("processes that check at once", "rcptcheck.deciding.LOOKING"),
        ("the same for one user", "rcptcheck.deciding.OF_ONE_USER"),
        ("seconds until a check is given up", "rcptcheck.front.ANSWER_TIME"),
        ("worker processes", "base.listen.PROCESSES"),
        ("seconds that sessions get to end after SIGTERM", "base.listen.GRACE"),
    )),
    ("QMTP and QMQP", (
        ("seconds for a session", "qmtp.server.SESSION"),
        ("connections at once, without control/concurrencyqmtp, control/concurrencyqmqp", "qmtp.server.TOTAL"),
        ("connections at once, whatever they say", "qmtp.server.TOTAL_MAX"),
        ("bytes of a message", "qmtp.wire.LONGEST"),
        ("bytes that an address must be shorter than", "qmtp.session.ADDRESS"),
        ("bytes of the recipients of a message in QMTP", "qmtp.qmtp.ENVELOPE"),
        ("recipients of a message in QMQP", "qmtp.qmqp.RECIPIENTS"),
        ("seconds to make a connection to a QMQP server", "programs.qmail_qmqpc.CONNECT_TIMEOUT"),
        ("seconds for each read and write of a QMQP client", "programs.qmail_qmqpc.TIMEOUT"),
    )),
    ("SMTP out", (
        ("seconds to make a connection, without control/timeoutconnect", "smtp.remote.CONNECT_TIMEOUT"),
        ("seconds for each read and write, without control/timeoutremote", "smtp.remote.REMOTE_TIMEOUT"),
        ("seconds for all look-ups of a delivery", "smtp.remote.DNS_MAX"),
        ("seconds for a delivery", "smtp.remote.DELIVERY_MAX"),
        ("addresses tried in a delivery", "smtp.route.ADDRESSES_MAX"),
        ("messages of a connection, without control/remotemessages", "smtp.remote.MESSAGES"),
        ("seconds that a connection waits for the next message", "smtp.kept.IDLE_TIME"),
        ("seconds that a connection is kept", "smtp.kept.AGE_MAX"),
        ("commands on their way at once to a server with PIPELINING", "smtp.client.WINDOW"),
        ("recipients of a message at a host, without control/remoterecipients", "smtp.remote.RECIPIENTS"),
        ("bytes of a reply that are reported", "smtp.client.REPLY_KEPT"),
        ("bytes of a reply that are read", "smtp.client.REPLY_MAX"),
    )),
    ("POP3", (
        ("sessions at once, without control/concurrencypop3", "programs.qmail_popup.SESSIONS"),
        ("bytes of a command line", "pop3.wire.LIMIT"),
        ("seconds from the greeting to the login, listening", "pop3.front.LOGIN_TIME"),
        ("seconds before a wrong password is answered, listening", "pop3.authenticator.FAILURE_DELAY"),
        ("seconds for a password check, listening", "pop3.authenticator.CHECK_TIME"),
        ("bytes that a checker gets", "auth.checkpassword.LIMIT"),
        ("seconds for each read and write", "pop3.serve.TIMEOUT"),
    )),
    ("Messages of users", (
        ("bytes of a header in qmail-inject", "base.header.HEADER_LIMIT"),
    )),
    ("Logs", (
        ("bytes of a piece of a line in splogger", "programs.splogger.PIECE"),
        ("bytes of a line in qmail-log", "programs.qmail_log.LONGEST"),
        ("bytes of a file of qmail-log, unless told otherwise", "programs.qmail_log.SIZE"),
        ("old files that qmail-log keeps, unless told otherwise", "programs.qmail_log.COUNT"),
    )),
)


def limits():
    for heading, rows in LIMITS:
        yield f".Ss {heading}"
        yield '.Bl -tag -width "12345678" -compact'
        for meaning, expression in rows:
            yield f".It {evaluate(expression)}"
            yield plain(meaning)
        yield ".El"


def boot():
    """The start scripts with what their comments say."""
    for name in sorted(code.install.hier.BOOT):
        if name == "qmail.init":
            continue
        with open(f"{ROOT}/boot/{name}", encoding="utf-8") as f:
            comment = " ".join(line[2:].strip() for line in f if line.startswith("# "))
        yield f".It Pa boot/{name}"
        yield from (sentence(part) for part in comment.split(". "))


def vpopmail_codes():
    """vpopmail's exit codes and texts."""
    for number, _, text in code.vpopmail.errors.CODES:
        yield f".It {number % 256}"
        yield sentence(text)


def vpopmail_options():
    for name, value, meaning in code.vpopmail.home.CONFIGURE:
        yield f".It Cm {name.decode()}"
        yield sentence(meaning)
        if value:
            yield f"Default: {value.decode()}."


def vpopmail_flags():
    """The options of vmoduser that are flags, in its order."""
    flags = code.vpopmail.flags
    texts = dict(flags.TEXTS)
    for letter, flag in flags.LETTERS.items():
        yield f".It Fl {letter.decode()}"
        yield sentence(texts[flag].decode())


TABLES = {
    "controls": controls, "controls-of": programs_table, "tree": tree, "roles": roles, "queue-own": queue_own,
    "queue-answers": queue_answers, "lspawn-codes": lspawn_codes, "command-codes": command_codes, "log": log_lines,
    "logged": logged, "verbs": verbs, "services": services, "replies": replies, "limits": limits, "boot": boot,
    "vpopmail-codes": vpopmail_codes, "vpopmail-options": vpopmail_options, "vpopmail-flags": vpopmail_flags,
}
