"""Where a run happens: a directory for everything, and namespaces in which nothing of the host's can be touched.

Inside, /etc is a copy (users are made by adding lines to it), the network is a loopback of its own, the processes are
gone when the first of them is. The directory lies beside real installations, on the same file system; it is removed
however the run ends.
"""
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile

INSIDE = "PYQMAIL_BENCHMARK_PLACE"      # environment: the directory, set for the part inside the namespaces
FIRST_UID = 700_000                     # of the people who are made for the run: nobody else's
OLD = 1_700_000_000                     # s; when messages came that lie in a Maildir from the beginning
FEW = 50                                # messages
DISK, INODES = 40 << 30, 1_500_000       # bytes of an own disk, most of which are never written
PASSWORD = "benchmark"
HASH = ("$6$rounds=1000$benchmark$"     # of PASSWORD: both POP3 servers check it through PAM
        "U00ByT5zOGO05L1spUhhytD.RzHhsZ2OiKjkwqKVzdMAPZ340Xh28SCeTPGlliV.eIIeXhvda8JYtZitk9oZE.")
UNSHARE = ("unshare", "--mount", "--net", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc",
           "--propagation", "private")


def enter(top, prepare, own_disk=False):
    """Run this same command inside, and end with its status; before that, prepare(directory). Returns, inside only, the
    directory, or one on a disk of the run's own."""
    if place := os.environ.get(INSIDE):
        reap_all_but_me()
        settle_in(place)
        return lay_disk(place) if own_disk else place
    if os.geteuid() != 0:
        sys.exit("benchmarks need root: they make users, and servers change to them")
    if subprocess.run([*UNSHARE, "true"], capture_output=True).returncode:
        sys.exit("benchmarks need namespaces of their own (unshare), which are not permitted here")
    place = tempfile.mkdtemp(prefix="pyqmail-benchmark.", dir=top)
    os.chmod(place, 0o755)              # every user must get to the Maildirs
    for interruption in (signal.SIGINT, signal.SIGTERM):
        signal.signal(interruption, lambda *_: sys.exit(1))
    words = [*UNSHARE, sys.executable, *sys.argv]
    inside = None
    try:
        prepare(place)
        inside = subprocess.Popen(words, env={**os.environ, INSIDE: place})
        sys.exit(inside.wait())
    finally:
        if inside:
            inside.kill()               # and with it everything inside
            inside.wait()
        shutil.rmtree(place, ignore_errors=True)


def reap_all_but_me():
    """The first process of the namespace waits for everybody's orphans; the caller goes on as its child."""
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGINT, lambda *_: os._exit(1))        # all else ends with us
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        ended, status = os.wait()
        if ended == pid:
            os._exit(os.waitstatus_to_exitcode(status) & 0xff)


def settle_in(place):
    etc = f"{place}/etc"
    subprocess.run(["cp", "-a", "/etc", etc], stderr=subprocess.DEVNULL)    # files that come and go fail: locks
    for name in filter(lambda name: name.endswith(".lock"), os.listdir(etc)):
        os.unlink(f"{etc}/{name}")                  # somebody's who is changing the host's at this moment
    subprocess.run(["mount", "--bind", etc, "/etc"], check=True)
    with open("/etc/hostname", "w", encoding="ascii") as f:
        f.write("bench.example\n")
    with open("/etc/hosts", "w", encoding="ascii") as f:
        f.write("127.0.0.1 bench.example localhost\n")
    with open("/etc/resolv.conf", "w", encoding="ascii") as f:
        f.write("nameserver 127.0.0.1\n")       # where nobody listens: no peer waits for names
    subprocess.run(["hostname", "bench.example"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def lay_disk(place):
    """An ext4 with a journal in a file, as mail servers have it, whatever lies under the place; its directory."""
    disk, image = f"{place}/disk", f"{place}/image"
    os.mkdir(disk)
    with open(image, "xb") as f:
        f.truncate(DISK)
    # everything is laid now: nothing of it shall be written while something is measured
    subprocess.run(["mkfs.ext4", "-q", "-F", "-N", str(INODES), "-J", "size=256", "-E",
                    "lazy_itable_init=0,lazy_journal_init=0", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, disk], check=True)
    os.chmod(disk, 0o755)
    shutil.copytree(f"{place}/libraries", f"{disk}/libraries", symlinks=True)
    return disk


class Person:
    """An account of the private /etc with a Maildir."""

    def __init__(self, name, uid, home):
        self.name, self.uid, self.home = name, uid, home
        self.maildir = f"{home}/Maildir"
        self.new = f"{self.maildir}/new"

    def make(self):
        for path in (self.home, self.maildir, self.new, f"{self.maildir}/tmp", f"{self.maildir}/cur"):
            os.mkdir(path, 0o700)
            os.chown(path, self.uid, self.uid)

    def fill(self, messages, size=2000):
        """So many messages that have been there for long, and been seen."""
        text = b"Subject: benchmark\n\n" + b"%b\n" % (b"x" * 79) * (size // 80)
        for number in range(messages):
            path = f"{self.maildir}/cur/{OLD}.{number}.bench.example:2,S"
            with open(path, "xb") as f:
                f.write(text)
            os.chown(path, self.uid, self.uid)
            os.utime(path, (OLD, OLD))


class People:
    """The accounts of a run, each made when it is first asked for."""

    def __init__(self, place):
        self.place, self._known = f"{place}/people", {}
        os.mkdir(self.place, 0o755)

    def get(self, *names):
        missing = [name for name in names if name not in self._known]
        uids = range(FIRST_UID + len(self._known), FIRST_UID + len(self._known) + len(missing))
        made = [Person(name, uid, f"{self.place}/{name}") for name, uid in zip(missing, uids)]
        for database, line in (("passwd", "{0.name}:x:{0.uid}:{0.uid}::{0.home}:/bin/sh\n"),
                               ("group", "{0.name}:x:{0.uid}:\n"),
                               ("shadow", "{0.name}:" + HASH + ":19000:0:99999:7:::\n")):
            with open(f"/etc/{database}", "a", encoding="ascii") as f:
                f.write("".join(line.format(person) for person in made))
        for person in made:
            person.make()
            self._known[person.name] = person
        return [self._known[name] for name in names]


def empty(people):
    """Nothing is in their new/ any more. Many files are moved away, not removed: an ext4 without a journal looks, for
    each new file, at every inode that was freed within the last minute."""
    for person in people:
        names = os.listdir(person.new)
        if len(names) > FEW:
            os.rename(person.new, f"{person.home}/away.{os.urandom(6).hex()}")
            os.mkdir(person.new, 0o700)
            os.chown(person.new, person.uid, person.uid)
            continue
        for name in names:
            os.unlink(f"{person.new}/{name}")


def user(name):
    """Keyword arguments for subprocess: as this user, without root's groups."""
    account = pwd.getpwnam(name)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
