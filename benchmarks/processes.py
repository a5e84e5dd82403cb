"""What processes cost: processor time and memory, from /proc.

A peer says which processes are its own: a function that gives a program's name for a pid, None for others' processes.
"""
import contextlib
import os
import time

TICK = 1000 / os.sysconf("SC_CLK_TCK")          # ms
INTERVAL = 0.2                                  # s between two looks at memory


def pids(program_of):
    """{pid: program} of the processes that are there now, without those that only wait to be waited for."""
    found = {}
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        with contextlib.suppress(OSError):
            if (program := program_of(pid)) and stat(pid)[0] != "Z":
                found[pid] = program
    return found


def command(pid):
    """The words of its command line."""
    with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as f:
        return f.read().split("\0")[:-1]


def executable(pid):
    return os.readlink(f"/proc/{pid}/exe")


def stat(pid):
    """The fields of /proc/PID/stat from the state on."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
        return f.read().rpartition(")")[2].split()


class Usage:
    """What processes, and those that they have waited for, have used since the snapshot.

    by_program: {program: (user, system) in ms}; ended children stand under their parent's name in parentheses.
    """

    def __init__(self, program_of):
        self.program_of = program_of
        self.before = self.snapshot()

    def snapshot(self):
        """{pid: (program, parent, own user and system time, those of ended children)} in ticks."""
        found = {}
        for pid, program in pids(self.program_of).items():
            with contextlib.suppress(OSError):
                fields = stat(pid)
                found[pid] = program, int(fields[1]), tuple(map(int, fields[11:13])), tuple(map(int, fields[13:15]))
        return found

    def by_program(self):
        now, used = self.snapshot(), {}
        for pid, (program, parent, own, ended) in now.items():
            _, _, own_before, ended_before = self.before.get(pid, (None, None, (0, 0), (0, 0)))
            add(used, program, own, own_before)
            add(used, f"({program})", ended, ended_before)
        for pid, (_, parent, own, ended) in self.before.items():
            if pid not in now and parent in now:        # it is among the ended: without what it had used before
                add(used, f"({now[parent][0]})", (0, 0), (own[0] + ended[0], own[1] + ended[1]))
        return {program: (user * TICK, system * TICK) for program, (user, system) in used.items() if user or system}

    def total(self):
        """ms of user and system time together."""
        return sum(map(sum, self.by_program().values()))


def add(used, program, now, before):
    user, system = used.get(program, (0, 0))
    used[program] = user + now[0] - before[0], system + now[1] - before[1]


def proportional(pid):
    """KiB of memory (PSS): what is shared counts by the number of those who share it."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        return sum(int(line.split()[1]) for line in f if line.startswith("Pss:"))


def memory(program_of):
    """MiB of all these processes together."""
    total = 0
    for pid in pids(program_of):
        with contextlib.suppress(OSError):
            total += proportional(pid)
    return total / 1024


class Peak:
    """The most memory (MiB, resident) that any single process has had, as far as it was seen by look()."""

    def __init__(self, program_of):
        self.program_of, self.most, self.next = program_of, 0, 0
        for pid in pids(program_of):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as f:
                f.write("5")                    # what was before does not count

    def watch(self):
        """look(), not more often than is cheap."""
        if time.monotonic() > self.next:
            self.look()
            self.next = time.monotonic() + INTERVAL

    def look(self):
        for pid in pids(self.program_of):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as f:
                self.most = max([self.most, *(int(line.split()[1]) / 1024 for line in f if line.startswith("VmHWM:"))])
        return self.most
