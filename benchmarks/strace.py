"""The system calls of a peer's processes, by program, counted from strace's own record."""
import collections
import contextlib
import os
import re
import signal
import subprocess

from . import load, processes

CALL = re.compile(rb"^(\d+) +(\w+)\(")          # calls that are resumed had their line before
SYNCS = ("fsync", "fdatasync", "sync", "syncfs", "msync", "sync_file_range")
COMMITS = SYNCS[:-1]                            # sync_file_range writes data, and commits nothing


class Strace:
    """Records inside the `with`. programs: {process or thread: program}."""

    def __init__(self, peer, directory):
        self.peer, self.path, self.programs = peer, f"{directory}/strace", {}

    def __enter__(self):
        self.look()
        words = [word for pid in processes.pids(self.peer.program) for word in ("-p", str(pid))]
        self.process = subprocess.Popen(["strace", "-f", "-q", "-s", "0", "-o", self.path, *words],
                                        stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        load.until(lambda: all(map(is_traced, self.programs)), "strace", 60)
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.process.wait()

    def look(self):
        """Learn the programs of processes, and threads, that are new."""
        for pid, program in processes.pids(self.peer.program).items():
            with contextlib.suppress(OSError):
                self.programs.update(dict.fromkeys(map(int, os.listdir(f"/proc/{pid}/task")), program))

    def counts(self):
        """{program: Counter of system calls}"""
        found = collections.defaultdict(collections.Counter)
        with open(self.path, "rb") as f:
            for line in f:
                if call := CALL.match(line):
                    found[self.programs.get(int(call[1]), "(short-lived)")][call[2].decode()] += 1
        return found


def is_traced(pid):
    """True as well if it has ended, or is ending."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as f:
            status = dict(line.split(":", 1) for line in f)
        return status["TracerPid"].strip() != "0" or status["State"].split()[0] in "XZ"
    except OSError:
        return True
