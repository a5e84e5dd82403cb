"""A PostgreSQL of one's own: Debian's binaries, a Unix socket in a temporary directory, no port, no sync to the
disk."""
import glob
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time

BINARIES = "/usr/lib/postgresql/*/bin"      # Debian's; they are not in the PATH
USER, PASSWORD = "vpopmail", "p%ss:w@rd/"
PATIENCE = 60                               # s


def present():
    return bool(glob.glob(f"{BINARIES}/initdb"))


def binary(name):
    """The path of one of PostgreSQL's programs, of the newest version there is. Raises FileNotFoundError."""
    found = sorted(glob.glob(f"{BINARIES}/{name}"), key=lambda path: int(path.split("/")[4].partition(".")[0]))
    if not found:
        raise FileNotFoundError(f"no {BINARIES}/{name}: apt-get install postgresql")
    return found[-1]


class Postgres:
    """with Postgres() as server: a server that runs; server.url is what etc/vpopmail.sql has."""

    def __enter__(self):
        self.place = tempfile.mkdtemp(prefix="pyqmail-postgres.", dir="/tmp")
        self._process = None
        try:
            self._owner = self._unprivileged()
            self._initialise()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        from urllib.parse import quote
        self.url = f"postgresql://{USER}:{quote(PASSWORD, safe='')}@/postgres?host={self.place}"
        return self

    def __exit__(self, *problem):
        try:
            self.stop()
        finally:
            shutil.rmtree(self.place, ignore_errors=True)

    def _unprivileged(self):
        """The words before a command that runs it as somebody who is not root, and not longer than these tests."""
        become = []
        if os.geteuid() == 0:
            try:
                who = pwd.getpwnam("postgres")
            except KeyError:
                who = pwd.getpwnam("nobody")
            os.chown(self.place, who.pw_uid, who.pw_gid)
            become = ["setpriv", "--reuid", str(who.pw_uid), "--regid", str(who.pw_gid), "--clear-groups"]
        os.chmod(self.place, 0o755)
        return [*become, "setpriv", "--pdeathsig", "KILL"]      # which a change of the uid would take away again

    def _initialise(self):
        with open(f"{self.place}/password", "w", encoding="utf-8") as f:
            f.write(PASSWORD)
        os.chmod(f"{self.place}/password", 0o644)
        subprocess.run([*self._owner, binary("initdb"), "-D", f"{self.place}/data", "-U", USER, "--no-sync", "-E", "UTF8",
                        "--locale=C.UTF-8", "--auth=scram-sha-256", f"--pwfile={self.place}/password"],
                       check=True, capture_output=True, cwd="/")

    def start(self):
        """Start it, and wait until it answers."""
        log = open(f"{self.place}/log", "ab")
        with log:
            self._process = subprocess.Popen(
                [*self._owner, binary("postgres"), "-D", f"{self.place}/data", "-k", self.place, "-h", "", "-F",
                 "-c", "max_connections=50"], stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd="/",
                start_new_session=True)
        end = time.monotonic() + PATIENCE
        while subprocess.run([binary("pg_isready"), "-q", "-h", self.place], cwd="/").returncode != 0:
            if self._process.poll() is not None or time.monotonic() > end:
                with open(f"{self.place}/log", encoding="utf-8", errors="replace") as f:
                    raise RuntimeError(f"PostgreSQL does not start:\n{f.read()[-2000:]}")
            time.sleep(0.05)

    def runs(self):
        return self._process is not None

    def stop(self):
        """End it at once, with all its connections, as if somebody had pulled the plug."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGQUIT)
        self.wait()

    def stopper(self):
        """stop() for who may have other rights when he calls it: a process of ours does it."""
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.close(writer)
            if os.read(reader, 1):
                os.kill(self._process.pid, signal.SIGQUIT)
            os._exit(0)
        os.close(reader)

        def stop():
            os.write(writer, b"x")
            os.close(writer)
            os.waitpid(child, 0)
            self.wait()
        return stop

    def wait(self):
        """Until it has ended."""
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None
