"""One local delivery: a message for one recipient, by the user's .qmail file.

This is the whole of qmail-local apart from its command line, for bin/qmail-local and for processes
that carry out many deliveries as the same user, one after the other. What such a process may rely on:

- deliver() never raises and never ends the process; its result is qmail-local's exit code.
- Deliveries to Maildirs and mboxes happen in this process; forwarding uses the queue service, which
  is another process already. A command gets a process of its own (fork and exec of /bin/sh).
- Nothing remains of a delivery: it closes what it opened, and umask, SIGALRM and a running alarm are
  as before. The working directory is / afterwards (no home is kept busy). Environments are built
  anew from Order.environ; os.environ is neither read nor changed.
- It blocks: as long as a command runs, up to 30 s for the lock of an mbox, up to a day for a Maildir
  on a dead file system. It must run in the main thread (it uses SIGALRM).

Source: qmail-local(8), dot-qmail(5), qmail-command(8).
"""
import os
import time

from ..base import errors, maildir, mbox
from ..base.deadline import Deadline, Expired
from ..base.errors import Permanent, Temporary
from ..base.netio import write_all
from . import command, dotqmail, environment, forward, loop
from .copies import Copies
from .message import Message, Unreadable

UMASK = 0o077
DAY = 86_400                        # s; a Maildir delivery that takes longer is given up


class Order:
    """What is to be delivered, for whom, with which descriptors.

    user home local dash ext domain sender default_delivery: bytes without NUL, as qmail-local gets
    them on its command line; home is absolute. The process already has the user's uid and gid.
    message: descriptor of the message, a file open for reading; its offset may be anything, and is
    anything afterwards. output, error_output: descriptors for what the delivery and its commands
    have to say, the same one when error_output is None. environ: {name: value} in bytes, the
    environment to hand down (QMAILQUEUE counts). dry: only tell what would be done. flush: how a
    Maildir's file gets to the disk, os.fsync or, in a long-lived process, base.durable.data_flusher().
    copies: copies.Copies, what copies in Maildirs are called; None: as those of a delivery that nobody repeats.
    """

    __slots__ = ("user", "home", "local", "dash", "ext", "domain", "sender", "default_delivery",
                 "message", "output", "error_output", "environ", "dry", "flush", "copies")

    def __init__(self, user, home, local, dash, ext, domain, sender, default_delivery, *,
                 message=0, output=1, error_output=None, environ, dry=False, flush=os.fsync, copies=None):
        self.user, self.home, self.local, self.dash, self.ext = user, home, local, dash, ext
        self.domain, self.sender, self.default_delivery = domain, sender, default_delivery
        self.message, self.output = message, output
        self.error_output = output if error_output is None else error_output
        self.environ, self.dry, self.flush, self.copies = environ, dry, flush, copies or Copies()


def deliver(order):
    """Carry out an Order; returns 0, 100 or 111. What there is to say has been written."""
    code, text, _ = outcome(order)
    say(order.error_output if code else order.output, text)
    return code


def outcome(order):
    """Carry out an Order. Gives (0, 100 or 111, what there is to say at the end, True if commands or programs may have
    got the descriptors of the output)."""
    umask, delivery, text = os.umask(UMASK), None, ""
    try:
        delivery = Delivery(order)
        delivery.run()
        return 0, delivery.report(), delivery.handed_out
    except Temporary as why:
        code, text = errors.TEMPORARY, str(why)
    except Permanent as why:
        code, text = errors.PERMANENT, str(why)
    except MemoryError:
        code, text = errors.TEMPORARY, "Out of memory. (#4.3.0)"
    except Unreadable as unreadable:
        code, text = errors.TEMPORARY, f"Unable to read message: {errors.text(unreadable.why)}. (#4.3.0)"
    except Exception as why:        # a bug, a resource: the mail waits, and the next order is served
        detail = errors.text(why) if isinstance(why, OSError) else f"{type(why).__name__}: {why}"[:300]
        code, text = errors.TEMPORARY, f"Unable to deliver: {detail}{errors.where(why)}. (#4.3.0)"
    finally:
        os.umask(umask)
        os.chdir("/")
    # an empty text: a command has had its chance to say why
    return code, os.fsencode(text) + b"\n" if text else b"", delivery is None or delivery.handed_out


def say(fd, text):
    """Write what there is to say. Nobody may be left to read it; that must not change the outcome."""
    try:
        write_all(fd, text)
    except OSError:
        pass


class Delivery:
    """An Order under way. Attributes beyond the order are known from find_instructions() on."""

    def __init__(self, order):
        self.order, self.message, self.now = order, Message(order.message), int(time.time())
        self.delivered_to = environment.delivered_to(order.local, order.domain)
        self.return_path = environment.return_path(order.sender)
        self.files = self.programs = 0
        self.handed_out = False
        self.recipients, self.forwards, self.qp = [], 0, 0
        self._environ = None

    def run(self):
        """All of it. Raises Temporary, Permanent, Unreadable, or what nobody foresaw."""
        self.enter_home()
        if not self.order.dry:
            self.refuse_loop()
        self.find_instructions()
        self.follow()
        if self.recipients:
            self.handed_out = True      # QMAILQUEUE may name a program
            self.qp = forward.forward(self.delivered_to, self.message, self.new_sender, self.recipients, self.environ)

    def enter_home(self):
        home = self.order.home
        try:
            os.chdir(home)
        except OSError as why:
            raise Temporary(f"Unable to switch to {os.fsdecode(home)}: {errors.text(why)}. (#4.3.0)") from why
        dotqmail.check_home(self.warn if self.order.dry else None)

    def warn(self, text):
        say(self.order.error_output, text.encode() + b"\n")

    def refuse_loop(self):
        try:
            self.message.rewind()
        except OSError as why:
            raise Temporary("Unable to rewind message. (#4.3.0)") from why
        if loop.has_line(self.delivered_to, self.message.pieces()):
            raise Permanent("This message is looping: it already has my Delivered-To line. (#5.4.6)")

    def find_instructions(self):
        order = self.order
        self.instructions = dotqmail.find(order.dash, order.ext, order.default_delivery)
        if self.instructions is None:
            raise Permanent("Sorry, no mailbox here by that name. (#5.1.1)")
        self.new_sender = dotqmail.new_sender(order)

    def follow(self):
        """Every instruction in its turn; the first failure ends it. Forwards are only collected."""
        for kind, argument in dotqmail.lines(self.instructions.text, self.instructions.forward_only):
            if kind == b"forward":
                self.forwards += 1
            elif kind == b"program":
                self.programs += 1
            else:
                self.files += 1
            if self.order.dry:
                say(self.order.output, kind + b" " + argument + b"\n")
            elif self.do(kind, dotqmail.up_to_nul(argument)):
                break

    def do(self, kind, argument):
        """One instruction; True if the lines after it do not count."""
        if kind == b"forward":
            self.recipients.append(argument)
        elif kind == b"maildir":
            self.to_maildir(argument)
        elif kind == b"mbox":
            self.to_mbox(argument)
        else:
            self.handed_out = True
            return command.run(argument, self.message, self.order.output, self.order.error_output, self.environ,
                               self.order.flush, self.order.copies)
        return False

    def to_maildir(self, directory):
        try:
            with Deadline(DAY):
                root = enter_maildir(directory)
                try:
                    text = self.message.after(self.return_path + self.delivered_to)
                    maildir.deliver(root, text, self.order.flush, copy=self.order.copies.next(root))
                finally:
                    os.close(root)
        except Expired:
            raise Temporary("Timeout on maildir delivery. (#4.3.0)") from None
        except Unreadable as why:
            raise Temporary("Unable to read message. (#4.3.0)") from why
        except OSError as why:
            raise Temporary("Temporary error on maildir delivery. (#4.3.0)") from why

    def to_mbox(self, path):
        try:
            fd = mbox.open_append(path)
        except OSError as why:
            raise Temporary(f"Unable to open {os.fsdecode(path)}: {errors.text(why)}. (#4.2.1)") from why
        try:
            start = environment.from_line(self.order.sender, self.now) + self.return_path + self.delivered_to
            mbox.append(fd, start, self.message.pieces())
        except Expired:
            raise Temporary(f"File has been locked for {mbox.PATIENCE} seconds straight. (#4.3.0)") from None
        except OSError as why:
            raise Temporary(f"Unable to write {os.fsdecode(path)}: {errors.text(why)}. (#4.3.0)") from why
        finally:
            os.close(fd)

    @property
    def environ(self):
        """The environment of commands and of qmail-queue; most deliveries need none."""
        if self._environ is None:
            self._environ = environment.variables(self.order, self.now, self.new_sender, self.instructions.default)
        return self._environ

    def report(self):
        """The words about a delivery that was made."""
        text = b"did %d+%d+%d\n" % (self.files, self.forwards, self.programs)
        return text + b"qp %d\n" % self.qp if self.qp else text


def enter_maildir(directory):
    """A descriptor of the Maildir. Raises Temporary, or OSError where trying again may help."""
    try:
        return maildir.enter(directory)
    except OSError as why:
        if errors.passing(why):
            raise
        raise Temporary("Unable to chdir to maildir. (#4.2.1)") from why
