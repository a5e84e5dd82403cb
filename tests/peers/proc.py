"""What /proc says about the processes of an installation: who they are, and what they hold."""
import os


class Process:
    """One process as it is now. `words`: its command line; `program`: the name below bin/; `fds`: {descriptor:
    what it is}, paths below the home without it, pipes and sockets by kind only."""

    def __init__(self, home, pid):
        self.pid = pid
        with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as f:
            self.words = f.read().split("\0")[:-1]
        names = [word.removeprefix(f"{home}/bin/") for word in self.words if word.startswith(f"{home}/bin/")]
        self.program = names[0] if names else None
        if self.program is None:
            return
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as f:
            self.status = dict(line.rstrip("\n").split(":", 1) for line in f)
        self.parent = int(self.status["PPid"])
        self.uids, self.gids, self.groups = (list(map(int, self.status[key].split()))
                                             for key in ("Uid", "Gid", "Groups"))
        self.umask = int(self.status["Umask"], 8)
        self.no_new_privs = self.status["NoNewPrivs"].strip() == "1"
        self.capabilities = {int(self.status[f"Cap{name}"], 16) for name in ("Eff", "Prm", "Inh", "Amb")}
        self.cwd = os.readlink(f"/proc/{pid}/cwd")
        self.fds = {}
        for fd in os.listdir(f"/proc/{pid}/fd"):
            try:
                self.fds[int(fd)] = kind(home, os.readlink(f"/proc/{pid}/fd/{fd}"))
            except FileNotFoundError:
                pass

    @property
    def uid(self):
        return self.uids[0]

    @property
    def dumpable(self):
        """False if no other process of the same user may look into it: then /proc/PID belongs to root."""
        return self.uid == 0 or os.stat(f"/proc/{self.pid}/environ").st_uid != 0

    def __repr__(self):
        return f"<{self.program} {self.pid} uid {self.uid}>"


def kind(home, target):
    if target == home:
        return "."
    if target.startswith(("pipe:", "socket:")):
        return target.partition(":")[0]
    return target.removeprefix("anon_inode:").removeprefix(home + "/")


def of(home, program=None):
    """The processes that run something below `home`/bin, oldest first; of one program if given."""
    found = []
    for pid in sorted(map(int, filter(str.isdigit, os.listdir("/proc")))):
        try:
            process = Process(home, pid)
        except (OSError, KeyError):     # it has ended, or is ending
            continue
        if process.program and program in (None, process.program) and process.status["State"].split()[0] != "Z":
            found.append(process)
    return found


def children(process, among):
    return [other for other in among if other.parent == process.pid]
