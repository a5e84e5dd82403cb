"""Mending a queue that was restored, copied or damaged, while nobody else works in it. No message is lost:

- A message (mess with todo or info) that lies in a wrong directory, or whose number is not its inode number, gets its
  place and a right number. Its files get their new names before info or todo gets its own: that one step
  moves the message. Who is interrupted finds it whole, under the old or the new number; what is left of
  the other is incomplete, or second names.
- What is incomplete is moved aside, never removed: qmail-queue says that a message is queued only after
  todo is there, and info goes only after all recipients were served. It can be put back by hand.
- A name is removed only if the file has another one in the queue, or another file says the same.

Nothing follows a symbolic link, and a file that has a name outside of the queue is left alone: it may be anybody's.
"""
import collections
import itertools
import os
import stat
import time

from ..base import netio
from . import check, names, scan

FRESH = 1000                        # files made at most, until one has a number that is free
LONGEST = 240                       # bytes of a name in aside/: there may be two like that
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
KINDS = (*check.SPLIT, *check.FLAT)
CHANNELS = ("local", "remote")
COPY = "mend."                      # begins the name of a message that is being copied, in pid

Name = collections.namedtuple("Name", "kind place name")
Name.__doc__ = """A file: mess/12/1001 is ("mess", "12", "1001"), todo/1001 is ("todo", "", "1001")."""


class CannotMend(Exception):
    """Its text says what is the matter with which file."""


def text(name):
    return "/".join(filter(None, name))


def right(kind, number):
    """The Name that a file of a message should have."""
    return Name(kind, str(number % names.SPLIT) if kind in check.SPLIT else "", str(number))


class Mend:
    """queue: path of queue/; all its directories are there. owners: from check.owners(). pid: name of the directory
    in queue/ where new files can be made. tell(line) hears what is done. Raises OSError.

    moved: {old number: new one} after run(). Memory: some hundred bytes a file."""

    def __init__(self, queue, owners, group, pid, tell):
        self._tell, self._owners, self._group, self.moved = tell, owners, group, {}
        self._queue = os.open(queue, DIRECTORY)
        self._pid = os.open(pid, DIRECTORY, dir_fd=self._queue)
        self._aside, self._stamp, self._kept = None, None, set()
        self._fds, self._found = {}, {}         # {(kind, place): descriptor}; {number: {Name: inode}}
        self._inodes = collections.Counter()    # how many names of the queue each has
        self._messages, self._used = [], set()  # ({kind: Name} of a whole message); numbers that are taken

    def run(self):
        """Once."""
        try:
            for kind in KINDS:
                self._read(kind)
            self._old_pids()
            for number, found in sorted(self._found.items()):
                self._sort(number, found)
            for files in self._messages:
                try:
                    self._place(files)
                except CannotMend as why:
                    self._tell(str(why))
            os.sync()
        finally:
            netio.close_quietly(self._queue, self._pid, *self._fds.values(), *([self._aside] if self._aside else []))

    # ------------------------------------------------------------ what there is

    def _read(self, kind):
        """All files of a kind, however deep its directories: other qmails split other kinds, and by other numbers."""
        top = self._fds[kind, ""] = os.open(kind, DIRECTORY, dir_fd=self._queue)
        for entry in sorted(os.listdir(top)):
            status = os.lstat(entry, dir_fd=top)
            if stat.S_ISDIR(status.st_mode) and entry.isascii() and entry.isdigit():
                inner = self._fds[kind, entry] = os.open(entry, DIRECTORY, dir_fd=top)
                for below in sorted(os.listdir(inner)):
                    self._note(Name(kind, entry, below), os.lstat(below, dir_fd=inner))
            else:
                self._note(Name(kind, "", entry), status)

    def _note(self, name, status):
        number = scan.number(os.fsencode(name.name))
        if number is None or name.name != str(number) or not stat.S_ISREG(status.st_mode):
            self._put_aside(name, "is no message's file")
            return
        self._found.setdefault(number, {})[name] = status.st_ino
        self._inodes[status.st_ino] += 1

    def _sort(self, number, found):
        """Which of the files of this number make a message, and what about the others."""
        while files := self._message(number, found):
            for name in files.values():
                del found[name]
            if "todo" in files:
                self._beside_todo(files)
            self._messages.append(files)
            self._used.add(number)
        for name in sorted(found):
            self._drop(name, "is part of no whole message")

    @staticmethod
    def _message(number, found):
        """{kind: Name} of one whole message among these files, None if there is none. Of several in different
        directories the one in the right place is first; todo and bounce, of which nobody knows, are its."""
        places = {kind: [name.place for name in found if name.kind == kind] for kind in KINDS}
        def best(kind, *wanted):
            wanted = [right(kind, number).place, *wanted, *places[kind]]
            return next((Name(kind, place, str(number)) for place in wanted if place in places[kind]), None)
        if places["todo"] and places["mess"]:
            kinds = {kind: best(kind) for kind in ("mess", "todo", "intd", "info", "local", "remote")}
        elif places["info"] and places["mess"]:
            together = [place for place in places["info"] if place in places["mess"]]
            together.sort(key=lambda place: place != right("info", number).place)
            info = Name("info", together[0], str(number)) if together else best("info")
            kinds = {"info": info, "mess": Name("mess", together[0], str(number)) if together else best("mess"),
                     "bounce": best("bounce")}
            for channel in CHANNELS:        # those beside another info file are that one's
                others = {place for place in places["info"] if place != info.place}
                if (name := best(channel, info.place)) and name.place not in others:
                    kinds[channel] = name
        else:
            return None
        return {kind: name for kind, name in kinds.items() if name}

    def _beside_todo(self, files):
        """info, local and remote mean nothing yet and are made anew; intd is todo's other name."""
        number = int(files["todo"].name)
        for kind in ("info", *CHANNELS):
            if kind in files and files[kind] != right(kind, number):
                self._drop(files.pop(kind), "is made anew from todo")
        intd = files.get("intd")
        if intd and not self._same(intd, files["todo"]):
            del files["intd"]
            if self._content(intd) == self._content(files["todo"]):
                self._unlink(intd)
            else:
                self._put_aside(intd, "is not what todo is")

    # ------------------------------------------------------------ small steps

    def _unlink(self, name):
        os.unlink(name.name, dir_fd=self._fds[name[:2]])

    def _stat(self, name):
        return os.lstat(name.name, dir_fd=self._fds[name[:2]])

    def _same(self, one, other):
        return os.path.samestat(self._stat(one), self._stat(other))

    def _content(self, name):
        fd = os.open(name.name, READ, dir_fd=self._fds[name[:2]])
        try:
            return netio.read_all(fd, 1 << 30)
        finally:
            os.close(fd)

    def _drop(self, name, why):
        """A file that belongs to nothing: aside, or if it has another name in the queue just this name less."""
        inode = self._stat(name).st_ino
        if self._inodes[inode] > 1:
            self._inodes[inode] -= 1
            self._unlink(name)
        else:
            self._put_aside(name, why)

    def _put_aside(self, name, why):
        kept = self._move_aside(name.name, self._fds[name[:2]], ".".join(filter(None, name)))
        self._tell(f"{text(name)} {why}: it is now aside/{self._stamp}/{kept}")

    def _move_aside(self, name, directory, kept):
        """Returns the name that it has there: `kept`, or one like that if there is such a file, or it is too long."""
        if self._aside is None:
            try:
                os.mkdir("aside", 0o700, dir_fd=self._queue)
            except FileExistsError:
                pass
            above = os.open("aside", DIRECTORY, dir_fd=self._queue)
            if os.fstat(above).st_uid != os.geteuid():
                raise CannotMend("queue/aside is somebody else's")
            self._stamp = f"{time.strftime('%Y%m%d-%H%M%S')}.{os.getpid()}"
            os.mkdir(self._stamp, 0o700, dir_fd=above)
            self._aside = os.open(self._stamp, DIRECTORY, dir_fd=above)
            os.close(above)
        start = os.fsdecode(os.fsencode(kept)[:LONGEST])
        others = (f"{start}~{again}" for again in itertools.count(2))
        kept = next(free for free in itertools.chain((start,), others) if free not in self._kept)
        self._kept.add(kept)
        os.rename(name, kept, src_dir_fd=directory, dst_dir_fd=self._aside)
        return kept

    # ------------------------------------------------------------ a message gets its place

    def _place(self, files):
        number = int(files["mess"].name)
        for kind, name in files.items():
            if self._stat(name).st_nlink != self._inodes[self._stat(name).st_ino]:
                raise CannotMend(f"{text(name)} has a name outside of the queue: it may be somebody else's file")
            self._own(kind, name)
        inode = self._stat(files["mess"]).st_ino
        if inode != number:
            self._renumber(files, number, inode)
            return
        for kind in ("mess", *CHANNELS, "bounce", "intd", "todo", "info"):
            if kind in files and files[kind] != right(kind, number):
                self._name(files[kind], right(kind, number), os.rename)
                self._tell(f"{text(files[kind])} is now {text(right(kind, number))}")

    def _name(self, old, new, function):
        """Rename or link; what is there already is not replaced."""
        try:
            os.lstat(new.name, dir_fd=self._fds[new[:2]])
        except FileNotFoundError:
            function(old.name, new.name, src_dir_fd=self._fds[old[:2]], dst_dir_fd=self._fds[new[:2]])
        else:
            raise CannotMend(f"{text(old)} should be {text(new)}, which is another file")

    def _renumber(self, files, number, inode):
        """Give the message a number that is its inode's, a free one."""
        copied = None
        if inode in self._used:
            inode, copied = self._copied(files["mess"])
        self._used.add(inode)
        if copied is None:
            self._name(files["mess"], right("mess", inode), os.link)
        else:
            os.rename(copied, str(inode), src_dir_fd=self._pid, dst_dir_fd=self._fds[right("mess", inode)[:2]])
        last = "todo" if "todo" in files else "info"
        others = (*CHANNELS, "bounce") if last == "info" else ()
        for kind in others:
            if kind in files:
                self._name(files[kind], right(kind, inode), os.link)
        self._name(files[last], right(last, inode), os.rename)      # now it is there, and no more here
        for kind, name in files.items():
            if kind != last:
                self._unlink(name)
        self.moved[number] = inode
        self._tell(f"msg {number} is now msg {inode}")

    def _copied(self, mess):
        """(inode, name in pid) of a copy of a mess file, whose number nobody has."""
        unfit = []
        try:
            for attempt in range(FRESH):
                name = f"{COPY}{os.getpid()}.{attempt}"
                fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=self._pid)
                if (inode := os.fstat(fd).st_ino) not in self._used:
                    self._copy(mess, fd)
                    return inode, name
                unfit.append(fd)            # open, it keeps its number
                os.unlink(name, dir_fd=self._pid)
            raise CannotMend(f"{text(mess)}: found no free number")
        finally:
            for fd in unfit:
                os.close(fd)

    def _copy(self, mess, target):
        """Contents, owner, mode and times; on the disk when this returns."""
        source = os.open(mess.name, READ, dir_fd=self._fds[mess[:2]])
        try:
            status = os.fstat(source)
            while piece := os.read(source, 1 << 16):
                netio.write_all(target, piece)
            os.fchown(target, status.st_uid, status.st_gid)
            os.fchmod(target, stat.S_IMODE(status.st_mode))
            os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
            os.fsync(target)
        finally:
            os.close(source)
            os.close(target)

    def _own(self, kind, name):
        """Owner and mode of a file, as qmail's programs make it."""
        fd = os.open(name.name, READ, dir_fd=self._fds[name[:2]])
        try:
            status, uid, mode = os.fstat(fd), self._owners[kind], check.OURS[kind][1]
            if status.st_uid != uid:
                os.fchown(fd, uid, self._group)
                self._tell(f"{text(name)} had owner {status.st_uid}")
            if stat.S_IMODE(status.st_mode) != mode:
                os.fchmod(fd, mode)
                self._tell(f"{text(name)} had mode {stat.S_IMODE(status.st_mode):04o}")
        finally:
            os.close(fd)

    def _old_pids(self):
        """Files of qmail-queues that got no further than to make them, or died before they removed them; and copies
        of ours that came to nothing."""
        for name in os.listdir(self._pid):
            status = os.lstat(name, dir_fd=self._pid)
            if stat.S_ISREG(status.st_mode) and (not status.st_size or self._inodes[status.st_ino]
                                                 or name.startswith(COPY)):
                os.unlink(name, dir_fd=self._pid)
            else:
                self._move_aside(name, self._pid, f"pid.{name}")
