"""The lines of qmail-send's log: samples made by the functions that write them, and every complaint in its source."""
import ast
import glob

from markup import ROOT, code, quoted, sentence


def log_lines():
    """qmail-send's lines about messages and deliveries, by the functions that write them."""
    messages = code.send.messages
    samples = (
        (messages.status([(b"local", 1, 10), (b"remote", 3, 20)], False),
         "Deliveries under way and the most allowed at once, whenever one starts or ends."),
        (messages.status([(b"local", 0, 10), (b"remote", 1, 20)], True),
         "The same while qmail-send is ending: no delivery is started any more."),
        (b"status: exiting", "The last line of a qmail-send that has ended regularly."),
        (messages.new_msg(1001), "A message was found in the queue and gets the number 1001. "
         "Numbers are used again once their message has ended."),
        (messages.info_msg(1001, 532, b"joe@a.example", 4711, 1000), "Its size in bytes, its envelope sender, the "
         "number of the submission and the uid of who submitted it."),
        (messages.starting(7, 1001, b"remote", b"ann@b.example"),
         "The seventh delivery since qmail-send started: of message 1001, to this recipient, on this channel."),
        (messages.outcome(7, b"success", b"192.0.2.7_accepted_message./"), "It succeeded."),
        (messages.outcome(8, b"deferral", b"Sorry,_I_wasn't_able_to_establish_an_SMTP_connection._(#4.4.1)/"),
         "It failed for now and will be tried again."),
        (messages.outcome(9, b"failure", b"This_user_is_unknown./"), "It failed for good; the sender will be told."),
        (messages.mangled(10), "The report made no sense; the delivery will be tried again."),
        (messages.bounced(1001, 4712), "The failures of message 1001 were returned to its sender by a new message, "
         "submitted under this number."),
        (b"triple bounce: discarding bounce/1001",
         "A double bounce bounced; it is thrown away."),
        (b"double bounce: discarding bounce/1001",
         "A bounce bounced and control/doublebounceto is empty; it is thrown away."),
        (messages.ended(1001), "Message 1001 has left the queue."),
    )
    for line, meaning in samples:
        yield f".It Li {quoted(line.decode())}"
        yield from (sentence(part) for part in meaning.split(". "))


SOURCES = ("send/*.py", "programs/qmail_send.py", "queue/service.py", "queue/worker.py")


def logged(level):
    """The alerts or warnings of qmail-send and the queue service: every line of their sources that begins so."""
    found = set()
    for path in (path for pattern in SOURCES for path in glob.glob(f"{ROOT}/pyqmail/{pattern}")):
        with open(path, encoding="utf-8") as f:
            for node in ast.walk(ast.parse(f.read())):
                if isinstance(node, ast.Call):
                    found.update(line for line in lines_of(node) if line.startswith(f"{level}: "))
    for line in sorted(found):
        yield f".It Li {quoted(line)}"


def lines_of(call):
    """What a call in the source logs, if it is one that logs."""
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    if name in SAY:
        yield from (begun(spelled(plain_argument(argument))) for argument in call.args)
    elif name in MAKERS:
        what, *rest = [spelled(argument) for argument in call.args]
        if line := MAKERS[name](what, rest):
            yield line


SAY = ("say", "pause", "_pause")
# How the functions and exceptions that complaints are made with put their arguments together.
MAKERS = {
    "warning": lambda what, rest: what and what != PATH and f"warning: {what}{' ' * bool(rest[:1])}{''.join(rest)}",
    "_end_pass": lambda _, rest: rest and f"warning: {rest[0]} CHANNEL/N{rest[1]}",
    "_Step": lambda what, _: f"warning: {what} {PATH}",
    "Trouble": lambda what, _: not what.startswith("WHAT") and f"warning: {what}",
    "CannotStart": lambda what, _: f"alert: cannot start: {what}",
}
PATH = "PATH"
# What computed parts of a log line are, for the manual.
VALUES = {"why": "WHY", "error": "WHY", "errors.where(why)": "", "number": "N", "uid": "UID", "entries.where": PATH,
          "self._entries.where": PATH, "self.path": PATH, "path": PATH, "todo": PATH,
          "messages.LATER": code.send.messages.LATER}


def begun(line):
    """A line whose end is computed: "alert: service: WHY"; none if only that is left of it."""
    return "" if "cannot start: " in line else line + "WHY" if line.endswith(": ") else line


def plain_argument(node):
    """f"…".encode() is what it encodes."""
    while isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("encode", "replace"):
        node = node.func.value
    return node


def spelled(node):
    """What an argument says: constants as they are, everything computed as a word in capitals."""
    if isinstance(node, ast.Constant):
        return node.value.decode() if isinstance(node.value, bytes) else str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(map(spelled, node.values))
    if isinstance(node, ast.FormattedValue):
        return VALUES.get(ast.unparse(node.value), "WHAT")
    if isinstance(node, ast.IfExp):
        return spelled(node.body)
    text = ast.unparse(node)
    if text.endswith("LATER"):
        return code.send.messages.LATER
    return PATH if text == "path" or "names." in text or "str(why)" in text else ""
