"""What is in hand, kept where the next qmail-send finds it should this one die of it.

A message that ends qmail-send, by a signal that no Python code can catch or by a bug in the loop, would
end the next one as well, and nobody's mail would move again. So run/qmail-send/hands, shared memory, says at any
moment which messages are being worked on: a plain store, no system call. Who starts finds what the last one
died with. Each such death is counted (queue/suspects.py) until the message passes that stage; suspects
of two deaths (in todo: of one) are tried one at a time, so that those who only were there at the same time pass; after
TRIES deaths in a row a message is set aside. A spawner that dies takes qmail-send with it: then its deliveries are suspects.

Stages: todo (preprocessing), bounce (its injection), loop (everything that the loop itself does), local and
remote (a delivery when its spawner died).

run/qmail-send/hands: the kernel's boot id, 16 bytes, then slots of 16: message number and stage. After a
reboot what it says is no suspicion: nobody died of the message then.
"""
import mmap
import os
import struct
from contextlib import contextmanager

from ..queue import suspects

STAGES = tuple(suspects.WHO)
SLOTS = 64                          # the loop's, and more than there are threads
SLOT = struct.Struct("=QQ")
FILE = "hands"
BOOT_ID = "/proc/sys/kernel/random/boot_id"
SPACING = 1                         # s between two suspects when they are entered again


class Hands:
    """queue/ is the working directory. Where run/qmail-send cannot be used nothing is noticed: a line says so.

    aside: {number: stage} of messages that nothing is to be begun with."""

    def __init__(self, log, directory=None):
        self._log, self._file, self._entries, self.aside = log, None, {}, {}
        self._asked, self._left = set(), {}     # to be held; {number: functions that go on with it}
        self._free = list(range(1, SLOTS))
        self._map = bytearray(16 + SLOTS * SLOT.size)
        try:
            self._file = suspects.File(directory)
            found = self._found_in_hands()
            self._change(suspects.still_there)
            self.blame(found)
        except OSError as why:
            self._file = None
            log.say(f"warning: unable to use {suspects.DIRECTORY} ({why.strerror}): "
                    "a message that kills qmail-send will not be noticed".encode())
        self._all_free()

    def _found_in_hands(self):
        """{stage: numbers} that the last qmail-send died with; from now on the file is ours."""
        fd = os.open(FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=self._file.fd)
        try:
            os.ftruncate(fd, len(self._map))
            shared = mmap.mmap(fd, len(self._map))
        finally:
            os.close(fd)
        found, boot = {}, boot_id()
        if shared[:16] == boot:
            for slot in range(SLOTS):
                number, stage = SLOT.unpack_from(shared, 16 + slot * SLOT.size)
                if number and stage < len(STAGES):
                    found.setdefault(STAGES[stage], set()).add(number)
        shared[:16] = boot
        self._map = shared
        return found

    def _all_free(self):
        for slot in range(SLOTS):
            self._put(slot, 0, 0)

    # ------------------------------------------------------------ now

    def _put(self, slot, number, stage):
        SLOT.pack_into(self._map, 16 + slot * SLOT.size, number, stage)

    def loop(self, number):
        """The loop takes this message in hand; 0: none any more."""
        SLOT.pack_into(self._map, 16, number, 0)

    @property
    def in_loop(self):
        return SLOT.unpack_from(self._map, 16)[0]

    @contextmanager
    def during(self, stage, number):
        """A thread has this message in hand."""
        slot = self._free.pop()
        self._put(slot, number, STAGES.index(stage))
        try:
            yield
        finally:
            self._put(slot, 0, 0)
            self._free.append(slot)

    # ------------------------------------------------------------ suspects

    @property
    def alone(self):
        """Suspects to be preprocessed one at a time."""
        return [number for stage, number in self._entries if stage == "todo" and number not in self.aside]

    def later(self):
        """{number: seconds}: suspects of other stages that have seen two deaths, and when each is to be entered: one
        after the other, so that the next death is one message's. One death makes nobody wait: of the many who were
        there most have nothing to do with it."""
        return {number: SPACING * turn for turn, number in enumerate(sorted(
            {number for (stage, number), (_, deaths) in self._entries.items()
             if stage != "todo" and deaths > 1 and number not in self.aside}))}

    def blame(self, found):
        """found: {stage: numbers} that somebody died with. Of several at one stage only those that are
        suspects already, if any: it will have been one of them again."""
        new = {}
        for stage, numbers in found.items():
            known = {number for number in numbers if (stage, number) in self._entries}
            for number in known or numbers:
                if (mark := suspects.mark(number)) is not None:
                    deaths = self._entries.get((stage, number), (0, 0))[1] + 1
                    new[stage, number] = mark, deaths
                    self._say(number, suspects.WHO[stage], deaths)
        if new:
            self._change(lambda entries: entries | new)

    def _say(self, number, who, deaths):
        if deaths == 1:             # most of those who were there have nothing to do with it
            return
        if deaths < suspects.TRIES:
            self._log.say(f"warning: msg {number} was in hand when {who} died, "
                          f"{deaths} of {suspects.TRIES} times".encode())
        else:
            self._log.say(f"alert: msg {number} is set aside: it was in hand when {who} died, {deaths} times; "
                          f"qmailctl release {number} has it tried again".encode())

    def passed(self, stage, number):
        """The message has gone through this stage, and we live."""
        if (stage, number) in self._entries:
            self._change(lambda entries: {key: entry for key, entry in entries.items() if key != (stage, number)})

    # ------------------------------------------------------------ set aside, held, released

    def leave(self, number, again):
        """A message that is set aside or held turned up: again(number) is called when it no longer is."""
        self._left.setdefault(number, []).append(again)

    def read_again(self):
        """Read what others wrote; go on with what is not set aside or held any more. Returns its numbers."""
        before = set(self.aside)
        self._change(suspects.still_there)
        released = sorted(before - set(self.aside))
        for number in released:
            for again in self._left.pop(number, ()):
                again(number)
        return released

    def let_go(self, busy):
        """Tell who asked for messages to be held that we have let go of them. busy(number): something of it is
        under way."""
        quiet = {number for number in self._asked if not busy(number)}
        if quiet:
            self._asked -= quiet            # should it fail, a line in the log is enough
            self._change(lambda entries: suspects.let_go(entries, quiet))

    def ended(self, number):
        """The message is gone; its number will come again."""
        if number in self.aside:
            self._left.pop(number, None)
            self._change(lambda entries: {key: entry for key, entry in entries.items() if key[1] != number})

    def _change(self, change):
        if self._file is not None:
            try:
                self._entries = self._file.change(change)
                self.aside = suspects.set_aside(self._entries)
                self._asked = {number for stage, number in self._entries if stage == suspects.HOLD}
            except OSError as why:
                self._log.say(f"warning: unable to write {suspects.DIRECTORY}/{suspects.FILE}: {why.strerror}".encode())


def boot_id():
    try:
        with open(BOOT_ID, "rb") as f:
            return bytes.fromhex(f.read().strip().replace(b"-", b"").decode())[:16].ljust(16, b"\0")
    except (OSError, ValueError):
        return bytes(16)            # not known: every start is like one after a death
