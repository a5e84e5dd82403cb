"""Is the queue in a state that qmail's programs leave it in, whenever they are interrupted? Looks, and changes nothing.

The states, from qmail's INTERNALS (+ there, - not there, ? either):

         mess  intd  todo  info  local remote  bounce
    S2    +     -     -     -     -     -       -      being written or removed, or an orphan
    S3    +     +     -     -     -     -       -      its envelope is being written, or an orphan
    S4    +     ?     +     ?     ?     ?       -      queued; info, local and remote mean nothing
    S5    +     -     -     +     ?     ?       ?      preprocessed, being delivered

Orphans are legal: whoever was killed left them, and the sweep removes them when they are 36 hours old.
On a running system every finding is looked at twice, so what is just changing is not reported.
"""
import os
import stat
import time
from collections import namedtuple

from ..base import accounts
from . import envelope, names, scan

ORPHAN, STATE, CONTENT, INODE, PLACE, OWNER = "orphan", "state", "content", "inode", "place", "owner"
Finding = namedtuple("Finding", "kind path text")
Finding.__doc__ = """path: relative to queue/. kind: ORPHAN is legal; STATE: files together that no program leaves
together; CONTENT: records broken or missing; INODE: mess/S/N is not inode N (a queue that was copied);
PLACE: a name that is no message number, or in the wrong directory; OWNER: owner or mode."""

SPLIT = ("mess", "info", "local", "remote")
FLAT = ("intd", "todo", "bounce")
PLACES = frozenset(map(str, range(names.SPLIT)))
OURS = {"mess": ("qmailq", 0o644), "intd": ("qmailq", 0o644), "todo": ("qmailq", 0o644), "info": ("qmails", 0o600),
        "local": ("qmails", 0o600), "remote": ("qmails", 0o600), "bounce": ("qmails", 0o600)}
READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


def owners():
    """{kind of file: its owner's uid} of this installation. Raises Temporary."""
    uids = {role: accounts.uid(role) for role in {role for role, _ in OURS.values()}}
    return {kind: uids[role] for kind, (role, _) in OURS.items()}


def findings(queue, owned=None):
    """Yields a Finding for everything in the directory `queue` (str) that is not as it should be. owned: from
    owners(); None: owners and modes are not looked at. Needs the rights to read all of it; raises OSError
    without. Memory: one number a message."""
    numbers = set()
    for kind in SPLIT:
        for directory, name in entries(queue, kind):
            number = scan.in_place(directory, name)
            if number is None:
                path = f"{kind}/{directory}/{os.fsdecode(name)}"
                yield Finding(PLACE, path, "is no message's file in this directory")
            else:
                numbers.add(number)
        for name in sorted(os.listdir(f"{queue}/{kind}")):
            if name not in PLACES and not is_empty(f"{queue}/{kind}/{name}"):
                yield Finding(PLACE, f"{kind}/{name}", "is no directory of the queue, but not empty")
    for kind in FLAT:
        for name in os.listdir(os.fsencode(f"{queue}/{kind}")):
            number = scan.number(name)
            if is_empty(f"{queue}/{kind}/{os.fsdecode(name)}"):
                continue
            if number is None or name != b"%d" % number:
                yield Finding(PLACE, f"{kind}/{os.fsdecode(name)}", "is no message's file")
            else:
                numbers.add(number)
    for number in sorted(numbers):
        if found := examine(queue, number, owned):
            again = examine(queue, number, owned)
            yield from (one for one in found if one in again)
    yield from old_pids(queue)


def is_empty(path):
    """True for a directory with nothing in it: a place where other qmails would have files."""
    try:
        return not os.listdir(path)
    except OSError:
        return False


def entries(queue, kind):
    for directory in range(names.SPLIT):
        for name in os.listdir(os.fsencode(f"{queue}/{kind}/{directory}")):
            yield directory, name


def old_pids(queue):
    """Files in pid/ that nobody has looked at for 36 hours: qmail-clean removes them when it runs."""
    for name in os.listdir(f"{queue}/pid"):
        try:
            age = time.time() - os.stat(f"{queue}/pid/{name}").st_atime
        except FileNotFoundError:
            continue
        if age > names.OSSIFIED:
            yield Finding(ORPHAN, f"pid/{name}", "is left over")


def examine(queue, number, owned=None):
    """What is wrong with one message: a list of Findings, empty for S1."""
    paths = {kind: names.split(kind, number) for kind in SPLIT} | {kind: names.flat(kind, number) for kind in FLAT}
    there = {}
    for kind, path in paths.items():
        try:
            there[kind] = os.lstat(f"{queue}/{path}")
        except FileNotFoundError:
            continue
    found = [Finding(kind, paths[which], text) for kind, which, text in together(there)]
    for which, status in there.items() if owned else ():
        found += (Finding(OWNER, paths[which], text) for text in ownership(status, owned[which], *OURS[which]))
    if "mess" in there and there["mess"].st_ino != number:
        found.append(Finding(INODE, paths["mess"], f"is inode {there['mess'].st_ino}"))
    readable = [which for which, status in there.items() if stat.S_ISREG(status.st_mode)]
    for which, check in CONTENTS.items():
        if which in readable and (which == "todo" or "todo" not in there and "info" in there):
            try:
                text = check(list_records(f"{queue}/{paths[which]}"))
            except FileNotFoundError:
                continue
            if text:
                found.append(Finding(CONTENT, paths[which], text))
    return found


def together(there):
    """Yields (kind of finding, which file, text) for files that do not belong together."""
    if not there:
        return
    first = next(which for which in ("mess", "todo", "info", "intd", "local", "remote", "bounce") if which in there)
    if "mess" not in there:
        yield STATE, first, "has no message in mess"
    elif "todo" in there:
        if "bounce" in there:
            yield STATE, "bounce", "exists before anything was delivered"
        if "intd" in there and there["intd"].st_ino != there["todo"].st_ino:
            yield STATE, "intd", "is not the same file as todo"
    elif "info" in there:
        if "intd" in there:
            yield STATE, "intd", "exists though the message is preprocessed"
    elif stray := [which for which in ("local", "remote", "bounce") if which in there]:
        yield STATE, stray[0], "has no info"
    else:
        yield ORPHAN, first, "is not queued: being written, or left over"


def ownership(status, uid, owner, mode):
    if not stat.S_ISREG(status.st_mode):
        yield "is not a file"
        return
    if status.st_uid != uid:
        yield f"has owner {status.st_uid}, should be {owner}"
    if stat.S_IMODE(status.st_mode) != mode:
        yield f"has mode {stat.S_IMODE(status.st_mode):04o}, should be {mode:04o}"


# ---------------------------------------------------------------- contents

def list_records(path):
    """(letters of the complete records in their order with repetitions left out, whether the file ends with one)"""
    fd = os.open(path, READ)
    try:
        letters, end = bytearray(), 0
        for offset, record in envelope.records(fd):
            end = offset + len(record) + 1
            if letters[-1:] != (letter := record[:1] or b"\0"):
                letters += letter
        return bytes(letters), end == os.fstat(fd).st_size
    finally:
        os.close(fd)


def todo(found):
    letters, whole = found
    if not whole:
        return "ends inside a record"
    return None if letters in (b"upFT", b"upF") else "is no complete envelope"


def info(found):
    letters, whole = found
    return None if whole and letters == b"F" else "is no complete sender"


def channel(found):
    letters, whole = found
    if not whole:
        return "ends inside a record"
    return None if not letters.strip(b"TD") and letters else "has records that are no recipients, or none"


CONTENTS = {"todo": todo, "info": info, "local": channel, "remote": channel}
