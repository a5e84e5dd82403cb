"""Putting a message into the Maildir of a virtual user, within his quota.

    box = Mailbox(b"/home/vpopmail/domains/example.com/joe/Maildir/", quota=b"10000S", ...)
    box.deliver(message, return_path)

What a delivery ends with when it does not succeed is an Answer: the text for whoever sent the message, and the
exit code of vdelivermail. Source: vpopmail's vdelivermail and Maildir++, as recorded.
"""
import os
import time

from ..base import errors, maildir, maildirsize, netio
from ..base.deadline import Deadline, Expired
from ..base.errors import PERMANENT, TEMPORARY

DAY = 86_400                        # s; between two warnings, and the most that a delivery may take
WARN_AT = 90                        # percent
MESSAGE = 1 << 20                   # bytes of a message of the administrator that are used
OVER_QUOTA, NEARLY_FULL, NO_USER = b".over-quota.msg", b".quotawarn.msg", b".no-user.msg"
WARNED = b"quotawarn"               # a file in the Maildir; its mtime is the time of the last warning


class Answer(Exception):
    """The end of a delivery: `text` (bytes) for the output, `code` to exit with."""

    def __init__(self, text, code):
        super().__init__(os.fsdecode(text))
        self.text, self.code = text, code


def own_text(name, directories):
    """The first file of this name in the directories, b"" or its contents; None if there is none. One that cannot be
    read is as if it were not there: it must not stop mail."""
    for directory in directories:
        try:
            return netio.read_file(directory + b"/" + name, MESSAGE)
        except OSError:
            continue
    return None


def recipient(path, fallback):
    """The address that a Maildir's path stands for: the directory before /Maildir/, and the nearest one above it with
    a dot in its name; `fallback` where the path does not say."""
    above, found, _ = path.rpartition(b"/Maildir/")
    if not found:
        return fallback
    parts = above.split(b"/")
    domain = next((part for part in reversed(parts[:-1]) if b"." in part.strip(b".")), None)
    return b"%b@%b" % (parts[-1], domain) if domain and parts[-1] else fallback


def suffix(size):
    """What the name of a message's file ends with."""
    return b",S=%d" % size


class Mailbox:
    """A Maildir to deliver into.

    path: absolute, ends with a slash. quota: its text; None takes the one that stands in the Maildir itself.
    address: for Delivered-To. texts: directories with messages of the administrator. flush: see base/durable.py.
    copies: a delivery.copies.Copies.
    """

    def __init__(self, path, quota, address, texts, flush, copies):
        self.path, self.address, self.texts, self.flush, self.copies = path, address, texts, flush, copies
        self._quota = quota

    def deliver(self, message, return_path):
        """Deliver the message (a delivery.message.Message) whose first line shall be `return_path`. Raises Answer."""
        text = message.after(return_path + b"Delivered-To: %b\n" % self.address)
        size = len(return_path) + len(b"Delivered-To: \n") + len(self.address) + message.size()
        self.within(lambda root: self.bring(root, text, size, message.size()), size)

    def within(self, work, size):
        """work(descriptor of the Maildir), within its time. size: of the message. Raises Answer."""
        try:
            with Deadline(DAY):
                root = maildir.enter(self.path)
                try:
                    work(root)
                finally:
                    os.close(root)
        except Expired:
            raise Answer(b"Timeout on maildir delivery. (#4.3.0)\n", TEMPORARY) from None
        except OSError as why:
            raise self.cannot_open(why, suffix(size)) from why

    def bring(self, root, text, size, message_size):
        """Put `text` into the Maildir, if there is room; a repeat that finds its own copy has had its room."""
        copy = self.copies.next(root)
        if copy and copy.repeat:
            if maildir.find(root, copy, text):
                return
            copy.repeat = False
        quota = self.quota()
        limited = bool(quota) and self.make_room(root, quota, message_size)
        self.put(root, text, size, limited, copy)

    def quota(self):
        """The Quota that holds here, None for no limit."""
        try:
            text = maildirsize.first_line(self.path) if self._quota is None else self._quota
        except OSError as why:
            raise self.trouble("can not read the quota", why) from why
        self._text = text
        return None if text[:2].upper() == b"NO" else maildirsize.parse(text)

    def make_room(self, root, quota, size):
        """True if the message may come in; sends the warning if it is time for it. Raises Answer."""
        try:
            used = maildirsize.usage(self.path, self._text, lambda usage: quota.admits(usage, size, 1))
        except FileNotFoundError:
            return True             # no Maildir: the delivery will say so
        except OSError as why:
            raise self.trouble("can not read the quota", why) from why
        fits = quota.admits(used, size, 1)
        if not fits or quota.percent(used) >= WARN_AT:
            self.warn(root)
        if not fits:
            text = own_text(OVER_QUOTA, self.texts)
            raise Answer((b"user is over quota\n" if text is None else text) + b"\n", PERMANENT)
        return True

    def refuse_for_domain(self):
        """The domain has no room for the message, whoever it is for. Raises Answer."""
        self.quota()
        self.within(self.warn, 0)
        raise Answer(b"domain is over quota\n\n", PERMANENT)

    def warn(self, root):
        """Deliver the administrator's warning, once a day, whatever the quota says."""
        marker = self.path + WARNED
        try:
            if abs(time.time() - os.stat(marker).st_mtime) < DAY:
                return
        except FileNotFoundError:
            pass
        except OSError:
            return
        self.touch(marker)
        text = own_text(NEARLY_FULL, self.texts)
        if text is None:
            return
        stamp = time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime()).encode()
        whole = b"Delivered-To: %b\nDate: %b\n%b" % (self.address, stamp, text)
        try:
            self.put(root, (whole,), len(whole), True)
        except OSError:
            pass                    # the message itself will meet the same trouble, and tell

    @staticmethod
    def touch(marker):
        try:
            os.close(os.open(marker, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644))
            os.utime(marker)
        except OSError:
            pass                    # one warning too many is the lesser evil

    def put(self, root, pieces, size, limited, copy=None):
        """Write `pieces` into the Maildir as one message of `size` bytes, and note it if there is a quota. Raises
        OSError."""
        maildir.deliver(root, pieces, self.flush, suffix(size), copy)
        if limited:
            try:
                maildirsize.add(self.path, self._text, size)
            except OSError:
                pass                # the message is safe; the file is counted anew before long

    def cannot_open(self, why, suffix):
        name = why.filename if isinstance(why.filename, bytes) else b""
        if not name.startswith(b"tmp/"):
            name = b"tmp/" + maildir.name() + suffix
        return Answer(b"can not open new email file errno=%d file=%b%b\nsystem error\n"
                      % (why.errno or 0, self.path, name), TEMPORARY)

    def trouble(self, what, why):
        return Answer(f"{what}: {errors.text(why)}. (#4.3.0)\n".encode(), TEMPORARY)
