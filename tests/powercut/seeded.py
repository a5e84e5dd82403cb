"""Bugs to be found: each step of the programs that is there for the disk's sake, taken out of a copy of them.

A row says which step, whether its absence loses what was promised (as far as a cut shows), and why. A step is a
call that waits for the disk, removed, or an order of two steps, turned round.
"""
import ast
import collections

SYNCS = ("fsync", "flush", "flush_to", "sync", "sync_directory", "commit", "before")
CUTS, TRIES = 20, 6                 # cuts of a load run; runs without a finding before a bug counts as not found


class Bug(collections.namedtuple("Bug", "name step matters why load soon cuts tries kind")):
    """step(package): alters the copy of the package in that directory. load: options of load.Load. kind: of the file
    systems."""

    def apply(self, package):
        self.step(package)


def without(file, function, number=1):
    """The step that removes the number-th call of a function that waits for the disk."""
    def step(package):
        path = f"{package}/{file}"
        with open(path, encoding="utf-8") as f:
            text = f.read()
        call = calls(text, function)[number - 1]
        lines = text.splitlines(keepends=True)
        assert call.lineno == call.end_lineno
        line = lines[call.lineno - 1].encode()          # columns are bytes
        line = line[:call.col_offset] + b"None" + line[call.end_col_offset:]
        lines[call.lineno - 1] = line.decode()
        with open(path, "w", encoding="utf-8") as f:
            f.write("".join(lines))
    return step


def calls(text, function):
    """The calls that wait for the disk in a function or method, as they stand."""
    [body] = [node for node in ast.walk(ast.parse(text))
              if isinstance(node, ast.FunctionDef) and node.name == function]
    found = [node for node in ast.walk(body) if isinstance(node, ast.Call) and called(node) in SYNCS
             and not (called(node) == "flush" and not node.args)]           # a buffer of ours
    return sorted(found, key=lambda node: (node.lineno, node.col_offset))


def called(call):
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def instead(file, *pairs):
    """The step that puts other text in the place of some."""
    def step(package):
        path = f"{package}/{file}"
        with open(path, encoding="utf-8") as f:
            text = f.read()
        for old, new in pairs:
            assert text.count(old) == 1, (file, old)
            text = text.replace(old, new)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
    return step


def both(*steps):
    def step(package):
        for one in steps:
            one(package)
    return step


def bug(name, step, why, matters=True, soon=0.6, cuts=CUTS, tries=TRIES, kind="ext4", **load):
    load = {"pause": 0.3, "parts": ["smtp", "smtp", "stalls"], **load}
    return Bug(name, step, matters, why, load, soon, cuts, tries, kind)


without_writing = both(without("send/preprocess.py", "write_out", 1), instead("send/preprocess.py", (
    "                disk.start(file.fd)\n", "                pass\n")))
ACCOUNTS = {"parts": ["accounts", "passwords"], "pause": 0.3, "domains": ["virt.example"]}
LARGE = {**ACCOUNTS, "domains": ["large.example"]}
DIRECTLY = {"parts": ["program", "program", "stalls"], "programs": ["qmail-queue of root"], "soon": 0.9}
BY_HAND = {"parts": ["by hand", "by hand"], "soon": 0.9}
MOVED = {"parts": ["smtp", "smtp", "move", "move"], "kinds": ["moved"], "pause": 0.05}
DOMAINS = {"parts": ["domains"], "pause": 0.5, "soon": 0.9}
TABLES = {"parts": ["tables"], "pause": 0.2, "soon": 0.9}
BUGS = [
    # ------------------------------------------------------------ qmail-queue
    bug("queue-mess", both(without("queue/insert.py", "settle", 2), instead("queue/insert.py", (
        "        disk.start(files.mess)\n", ""))), "the text of an accepted message",
        kinds=["later", "far", "bounce", "maildir"]),
    bug("queue-name", without("queue/insert.py", "commit"), "the name in todo; C qmail leaves it out", soon=0.9,
        parts=["smtp", "stalls"], pause=0.2),
    bug("queue-envelope", both(without("queue/insert.py", "settle", 1), without("queue/insert.py", "commit")),
        "the envelope", parts=["smtp", "stalls"], soon=0.9, pause=0.2),
    bug("queue-envelope-first", without("queue/insert.py", "settle", 1),
        "nothing promised: the fsync after the link has it too. It keeps a name in todo from standing for half an "
        "envelope", matters=False, tries=2),
    bug("queue-order", instead("queue/insert.py", (
        "            settle(files, disk)\n            link(files)\n",
        "            link(files)\n            settle(files, disk)\n")),
        "nothing promised: the answer waits for all of it. Linked last, a name in todo means a whole message",
        matters=False, tries=2),
    bug("queue-direct-text", instead("base/durable.py", (
        'or will be with the next commit. Raises OSError."""\n        os.fsync(fd)\n',
        'or not."""\n')), "bin/qmail-queue of root: text and envelope", **DIRECTLY),
    bug("queue-direct-name", instead("base/durable.py", (
        "            for fd in fds:\n                os.fsync(fd)\n", "            pass\n")),
        "bin/qmail-queue of root: the name in todo", **DIRECTLY),
    bug("queue-touch", instead("base/durable.py", ("                os.utime(on_one[-1])\n", "")),
        "the names of others in the same commit, if the journal began a new transaction between theirs and the last "
        "one's: microseconds", matters=False, tries=2, parts=["smtp"] * 6, soon=0.9, pause=0.02),
    # ------------------------------------------------------------ qmail-send
    bug("send-others", without_writing, "info, local, remote", pause=0.1),
    bug("send-last", without("send/preprocess.py", "write_out", 2),
        "nothing where todo shares a journal with info, local and remote: it is removed after they got their names, "
        "and the journal keeps that order, so no commit is made there. It is for queues on several file systems",
        matters=False, tries=2, pause=0.1),
    bug("send-todo-order", both(without("send/preprocess.py", "write_out", 2), without_writing),
        "todo goes before info, local and remote are on the disk", pause=0.1),
    bug("send-end-order", instead("send/finish.py", (
        '        path = names.split("info", number)\n        try:\n            os.unlink(path)\n',
        '        path = names.split("info", number)\n        try:\n'
        '            self._cleaner.request("foop", number, lambda answer: os.unlink(path))\n'
        '            return\n')),
        "nothing promised: both go when all is done. mess goes last, so that qmail-send never has to do with an info "
        "that has no text", matters=False, tries=2),
    bug("clean-order", instead("programs/qmail_clean.py", (
        'remove(names.flat("intd", number), names.flat("todo", number))',
        'remove(names.flat("todo", number), names.flat("intd", number))')),
        "nothing promised: intd has no meaning. It goes first, so that none is left over", matters=False, tries=2),
    bug("send-bounce", without("send/deliveries.py", "sync_and_close"), "the text of a failure", kinds=["half", "far"],
        pause=0.1),
    bug("send-bounce-order", instead("send/finish.py", (
        "        self.injecting.add(bounce)\n",
        "        self.injecting.add(bounce)\n        self._bounced(bounce.number)\n")),
        "a bounce that is handed over when its message is gone", kinds=["bounce", "far bounce"], pause=0.1),
    # ------------------------------------------------------------ qmail-local
    bug("maildir-name", without("base/maildir.py", "deliver", 2), "the name in new",
        kinds=["maildir", "virtual", "many"]),
    bug("maildir-text", both(without("base/maildir.py", "deliver", 2), without("base/maildir.py", "deliver", 1)),
        "the text of a delivered message", kinds=["maildir", "virtual", "many"]),
    bug("maildir-text-first", without("base/maildir.py", "deliver", 1),
        "nothing promised: the fsync after the link has it too. It keeps a name in new from standing for an empty "
        "file, if a commit falls between", matters=False, tries=2, kinds=["maildir", "virtual"], pause=0.02, soon=0.2,
        parts=["smtp", "smtp", "program"]),
    bug("maildir-copy", without("base/maildir.py", "holds"),
        "not seen here: the copy that a repeated delivery finds is not on the disk only if its maker died between link "
        "and fsync, and the power fails within seconds of that. tests/death kills there", matters=False, tries=2,
        kinds=["maildir", "virtual"]),
    bug("mbox", without("base/mbox.py", "append"), "a message appended to an mbox", kinds=["mbox", "many"]),
    bug("moved-text", instead("programs/maildir2mbox.py", (
        '    attempt("write to", temporary, os.fsync, fd)\n', "")), "the mbox that maildir2mbox makes. On ext4 it "
        "would not show, as with every file that is renamed over another one", kind="xfs", **MOVED),
    bug("moved-name", instead("programs/maildir2mbox.py", (
        '    attempt("write to", target, netio.sync_directory, os.path.dirname(target) or b".")\n', "")),
        "its name, before the messages go from a Maildir elsewhere", **MOVED),
    # ------------------------------------------------------------ the queue by hand
    bug("held-text", instead("queue/suspects.py", ("            if sync:\n                os.fsync(fd)\n", "")),
        "the list of messages that are held", kind="xfs", **BY_HAND, verbs=["hold"]),
    bug("held-name", instead("queue/suspects.py", ("            if sync:\n                os.fsync(self.fd)\n", "")),
        "its name", **BY_HAND, verbs=["hold"]),
    bug("expired", without("queue/change.py", "expire"), "that a message's time is up; the list of those held, which "
        "is synced after it, has it too, where run and queue share a journal", matters=False, tries=2, **BY_HAND,
        verbs=["expire"]),
    bug("deleted", both(without("queue/change.py", "delete", 2), without("queue/change.py", "delete", 1)),
        "that a message was deleted", **BY_HAND, verbs=["delete"]),
    bug("deleted-marks", without("queue/change.py", "delete", 1), "the same, where it had no bounce", **BY_HAND,
        verbs=["delete"]),
    bug("deleted-bounce", without("queue/change.py", "delete", 2), "that nobody hears of it; as before, the list of "
        "those held has it too", matters=False, tries=2, **BY_HAND, verbs=["delete"]),
    bug("deleted-new", without("queue/change.py", "delete_new"), "that a new message was deleted; as before",
        matters=False, tries=2, **BY_HAND, verbs=["delete new"]),
    # ------------------------------------------------------------ accounts
    bug("accounts-file", without("vpopmail/files.py", "write"), "the contents of vpasswd", **ACCOUNTS),
    bug("accounts-name", without("vpopmail/files.py", "sync_directory"), "the names of new files", **ACCOUNTS),
    bug("large-source", without("vpopmail/vpasswd_large.py", "splice"), "vpasswd of a large domain", kind="xfs",
        **LARGE),
    bug("large-slot", without("vpopmail/vpasswd_large.py", "add"), "the record of a new user in its vpasswd.cdb",
        **LARGE),
    bug("large-copy", without("vpopmail/vpasswd_large.py", "edit_copy"), "vpasswd.cdb with another password",
        kind="xfs", **LARGE),
    bug("large-names", both(without("vpopmail/vpasswd_large.py", "exchange"), without(
        "vpopmail/vpasswd_large.py", "add", 2)), "their names", **LARGE),
    bug("sql", instead("vpopmail/database.py", ("PRAGMA synchronous = EXTRA", "PRAGMA synchronous = FULL")),
        "the last change of an account in SQLite", parts=["accounts", "passwords"], pause=0.05,
        domains=["sql.example"], soon=0.9),
    bug("alias-removed", without("vpopmail/valias.py", "delete"), "that an alias is gone", parts=["aliases"], pause=0.1,
        soon=0.9),
    bug("domains-file", without("vpopmail/files.py", "write"), "the contents of assign, rcpthosts, virtualdomains",
        **DOMAINS),
    bug("domains-name", without("vpopmail/files.py", "sync_directory"), "their names", **DOMAINS),
    bug("domain-removed", without("vpopmail/domains.py", "remove_tree"), "that old mail is gone; where domains are "
        "counted, as vpopmail's are, the count's new file has it too", matters=False, tries=2, **DOMAINS),
    bug("database", without("base/cdb.py", "write"), "the contents of users/cdb. On ext4 it would not show: a file "
        "that is renamed over another one is written out there", kind="xfs", **DOMAINS),
    # ------------------------------------------------------------ tables
    bug("tcprules", instead("programs/tcprules.py", (
        'netio.sync_directory, os.path.dirname(target) or b"."', "lambda: None")), "the new rules", **TABLES),
    bug("qmail-newmrh", instead("programs/qmail_newmrh.py", ('netio.sync_directory, "control"', "lambda: None")),
        "the new morercpthosts.cdb", **TABLES),
    bug("qmail-newu", instead("programs/qmail_newu.py", ('netio.sync_directory, "users"', "lambda: None")),
        "the new users/cdb", **DOMAINS),
    bug("roaming", without("vpopmail/roaming.py", "expire"), "the new rules, where logins are added to them", **TABLES),
    bug("tables-text", without("base/cdb.py", "write"), "the contents of each of these", kind="xfs", **TABLES),
    # ------------------------------------------------------------ a queue on two file systems
    bug("apart-sorted", without("send/preprocess.py", "write_out", 2), "info, local and remote, before todo goes",
        kind="ext4+queue", pause=0.1),
]


def chosen(names):
    """The bugs of these names; "all" means all."""
    unknown = set(names) - {"all", *(one.name for one in BUGS)}
    assert not unknown, unknown
    return [one for one in BUGS if "all" in names or one.name in names]


def summary(found):
    """The table for doc/RELIABILITY.md. found: [(Bug, Total)]."""
    lines = ["| step taken out | found | after cuts | promises broken | what it keeps |", "|---|---|---|---|---|"]
    for one, total in found:
        broken = ", ".join(name for name, _ in total.broken.most_common(3)) or "copies" * bool(total.wrong)
        odd = "" if bool(total.wrong) == one.matters else " (not expected)"
        name = one.name + f", {one.kind}" * (one.kind != "ext4")
        lines.append(f"| {name} | {'yes' if total.wrong else 'no'}{odd} | {total.cuts} | {broken} | {one.why} |")
    return "\n".join(lines)
