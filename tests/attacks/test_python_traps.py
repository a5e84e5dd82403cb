"""What Python itself does behind one's back: threads and fork, locale variables, ignored signals, text files, modules
that vanish from the library, parsers that raise on bad headers."""
import ast
import os
import signal
import subprocess
import sys

import pytest

from pyqmail.auth import hashes

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PYTHON = "/usr/bin/python3"
#  gone from newer libraries, or not for mail that strangers write
BANNED = {"email", "mailbox", "smtplib", "poplib", "smtpd", "asyncore", "asynchat", "crypt", "spwd",
          "cgi", "telnetlib", "pipes", "imp", "distutils", "subprocess", "multiprocessing", "tempfile",
          "pickle", "signal"}
#  the only modules with threads; programs that contain them fork through posix_spawn or not at all
THREADED = {"base/local.py", "queue/worker.py", "send/workers.py"}


def modules():
    for directory, _, files in os.walk(os.path.join(ROOT, "pyqmail")):
        for name in files:
            if name.endswith(".py"):
                yield os.path.relpath(os.path.join(directory, name), os.path.join(ROOT, "pyqmail"))


def tree(module):
    with open(os.path.join(ROOT, "pyqmail", module), encoding="utf-8") as f:
        return ast.parse(f.read())


def imports(module):
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("module", sorted(modules()))
def test_libraries(module):
    found = set(imports(module))
    assert not found & BANNED
    assert "threading" not in found or module in THREADED


@pytest.mark.parametrize("module", sorted(modules()))
def test_no_text_file_depends_on_the_locale(module):
    """open() for text names its encoding; newlines of mail are never translated."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "open":
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            mode = node.args[1] if len(node.args) > 1 else given.get("mode")
            assert "encoding" in given or mode is not None and "b" in ast.literal_eval(mode), f"{module}:{node.lineno}"


# ---------------------------------------------------------------- threads and fork

GUARD = """
import sys, threading
def audit(event, _):
    if event in ("os.fork", "os.forkpty") and threading.active_count() > 1:
        import os
        os.write(2, b"FORK BESIDE THREADS\\n")
        os._exit(99)
sys.addaudithook(audit)
"""


@pytest.fixture
def guarded(harness, tmp_path):
    """qmail-send as tests/send starts it, ending at once should it fork while it has threads."""
    module = harness("send/test_qmail_send_process.py")
    home = module.Home(tmp_path)
    launcher = home.path / "bin/qmail-send"
    text = launcher.read_text(encoding="ascii")
    launcher.write_text(text.replace("import os\n", GUARD + "import os\n", 1), encoding="ascii")
    assert GUARD in launcher.read_text(encoding="ascii")
    return home, module.Running


def test_qmail_send_never_forks_beside_its_threads(guarded):
    """Not even for a bounce that goes through a program (QMAILQUEUE)."""
    home, running = guarded
    for _ in range(20):
        home.arrive(b"s@a", [b"joe@me.example", b"x@far.example"])
    process = running(home, lambda channel, recipient: b"Dno\n")
    process.wait_log(b"end msg", 20)
    assert process.end() == 0
    assert (home.path / "bounces").read_bytes().count(b"Ts@a") == 20


# ---------------------------------------------------------------- what a started program is given

@pytest.fixture
def command(tmp_path):
    """command(line): what a command of a .qmail file writes, run by bin/qmail-local with an empty environment."""
    tmp_path.chmod(0o700)
    (tmp_path / "message").write_bytes(b"Subject: x\n\nbody\n")

    def run(line):
        (tmp_path / ".qmail").write_text(f"|{line}\n", encoding="ascii")
        words = [f"{ROOT}/bin/qmail-local", "--", "joe", str(tmp_path), "joe", "", "", "h", "s@x", "./Mailbox"]
        identity = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
        if identity:
            for path in (tmp_path, tmp_path / ".qmail", tmp_path / "message"):
                os.chown(path, 65534, 65534)
            for path in tmp_path.parents[:-2]:
                path.chmod(path.stat().st_mode | 0o011)
        with open(tmp_path / "message", "rb") as message:
            done = subprocess.run(words, stdin=message, capture_output=True, env={}, **identity)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.replace(b"did 0+0+1\n", b"")
    return run


def test_no_signal_is_ignored_or_held_back_in_a_command(command):
    """Python ignores SIGPIPE and SIGXFSZ; a command must not inherit that: `yes | head` would never end."""
    said = dict(line.split(b":\t") for line in command("grep -E 'Sig(Blk|Ign)' /proc/self/status").splitlines())
    for number in (signal.SIGPIPE, signal.SIGXFSZ):         # others may be ignored by whoever runs the tests
        assert not (int(said[b"SigBlk"], 16) | int(said[b"SigIgn"], 16)) >> number - 1 & 1
    assert command("yes | head -1") == b"y\n"


def test_a_command_has_the_users_variables_and_none_of_pythons(command):
    names = {line.partition(b"=")[0] for line in command("env -0 | tr '\\n\\0' ' \\n'").splitlines()}
    assert not [name for name in names if name.startswith((b"LC_", b"LANG", b"PYTHON", b"__PYVENV"))]


def test_a_command_has_three_descriptors(command):
    assert command("for n in 0 1 2 3 4 5 6 7 8 9; do [ -e /proc/$$/fd/$n ] && echo $n; done; true") == b"0\n1\n2\n"


def test_python_variables_of_a_stranger_count_for_nothing(tmp_path):
    """Programs are started by anybody, with any environment: sendmail, qmail-queue, qmail-inject."""
    (tmp_path / "os.py").write_text("raise SystemExit(77)\n", encoding="ascii")
    (tmp_path / "sitecustomize.py").write_text("raise SystemExit(77)\n", encoding="ascii")
    environ = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(tmp_path), "PYTHONHOME": str(tmp_path), "PYTHONSTARTUP": "x",
               "PYTHONINSPECT": "1", "PYTHONWARNINGS": "error", "PYTHONIOENCODING": "nonsense", "PYTHONDEVMODE": "1"}
    for name in ("qmail-inject", "sendmail", "qmail-queue", "qmail-smtpd", "qmail-local"):
        done = subprocess.run([f"{ROOT}/bin/{name}", "-?"], input=b"", capture_output=True, env=environ, cwd=tmp_path)
        assert done.returncode in (1, 62, 81, 91, 100, 111, 54), (name, done)
        assert b"Traceback" not in done.stderr and b"Python" not in done.stderr


# ---------------------------------------------------------------- modules that vanish

@pytest.mark.parametrize("password, stored", [
    (b"secret", b"$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1"), (b"secret", hashes.make(b"secret")),
    (b"\xff\xfe", hashes.make(b"\xff\xfe"))])
def test_passwords_without_the_librarys_crypt(monkeypatch, password, stored):
    """Python 3.13 has none."""
    expected = hashes.matches(password, stored)
    monkeypatch.setitem(sys.modules, "_crypt", None)
    assert hashes.matches(password, stored) == expected
    assert not hashes.matches(password + b"x", stored)
    assert hashes.matches(password, hashes.make(password))
