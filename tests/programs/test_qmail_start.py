"""qmail-start: who its children are, down to the last descriptor, seen by programs in their places."""
import grp
import json
import os
import pwd
import shutil
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LOOK = """#!/usr/bin/python3 -IS
import json, os, sys
fds = {}
for fd in sorted(map(int, os.listdir("/proc/self/fd"))):
    try:
        fds[fd] = os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        pass
umask = os.umask(0)
with open("/proc/self/status") as f:
    privileges = [line.split()[1] for line in f if line.startswith("NoNewPrivs")]
name = os.path.basename(sys.argv[0])
with open(f"%s/{name}.json", "w") as f:
    json.dump({"argv": sys.argv[1:], "uids": os.getresuid(), "gids": os.getresgid(), "groups": os.getgroups(),
               "umask": umask, "cwd": os.getcwd(), "fds": fds, "no_new": privileges == ["1"], "pid": os.getpid(),
               "ppid": os.getppid(), "env": open("/proc/self/environ").read().split("\\0")[:-1]}, f)
if name == "qmail-send":
    for fd in (2, 4, 6):            # until the others have ended
        while os.read(fd, 100):
            pass
"""
NAMES = ("qmail-send", "qmail-lspawn", "qmail-rspawn", "qmail-clean", "logger")


@pytest.fixture
def stage(open_place, qmail_users):
    """A home whose programs only look around; run(*argv) gives what each saw."""
    home = os.path.join(open_place, f"start{os.urandom(4).hex()}")
    out = os.path.join(home, "out")
    os.makedirs(f"{home}/bin")
    os.mkdir(out, 0o777)
    os.chmod(out, 0o1777)
    os.mkdir(f"{home}/control")
    os.mkdir(f"{home}/run")
    shutil.copytree(f"{ROOT}/pyqmail", f"{home}/pyqmail", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(f"{ROOT}/bin/qmail-start", f"{home}/bin")
    for name in NAMES:
        with open(f"{home}/bin/{name}", "w", encoding="ascii") as f:
            f.write(LOOK % out)
        os.chmod(f"{home}/bin/{name}", 0o755)

    def run(*argv, path=f"{home}/bin:/usr/bin:/bin", user=None, **options):
        done = subprocess.run([f"{home}/bin/qmail-start", *argv], env={"PATH": path}, stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=100, user=user, **options)
        seen = {}
        for name in os.listdir(out):
            with open(f"{out}/{name}", encoding="ascii") as f:
                seen[name.removesuffix(".json")] = json.load(f)
        return done, seen
    run.home = home
    yield run
    shutil.rmtree(home)


def user(name):
    return [pwd.getpwnam(name).pw_uid] * 3


def group(name):
    return [grp.getgrnam(name).gr_gid] * 3


@pytest.mark.root
def test_every_process_is_who_it_should_be(stage):
    done, seen = stage("./Maildir/", "logger", "a", "b")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    qmail, nofiles = group("qmail"), group("nofiles")
    expected = {
        "qmail-send": (user("qmails"), qmail, []),
        "qmail-lspawn": ([0, 0, 0], qmail, ["./Maildir/"]),
        "qmail-rspawn": (user("qmailr"), qmail, []),
        "qmail-clean": (user("qmailq"), qmail, []),
        "logger": (user("qmaill"), nofiles, ["a", "b"]),
    }
    assert {name: (one["uids"], one["gids"], one["argv"]) for name, one in seen.items()} == expected
    for one in seen.values():
        assert (one["groups"], one["umask"], one["cwd"]) == (one["gids"][:1], 0o77, "/")
        assert one["env"] == [f"PATH={stage.home}/bin:/usr/bin:/bin"]
    assert {name for name, one in seen.items() if one["no_new"]} == {"qmail-rspawn", "qmail-clean", "logger"}
    assert {one["ppid"] for name, one in seen.items() if name != "qmail-send"} == {seen["qmail-send"]["pid"]}


@pytest.mark.root
def test_every_pipe_leads_where_it_should(stage):
    inherited = os.open("/dev/null", os.O_RDONLY)
    done, seen = stage("./Maildir/", "logger", pass_fds=[inherited])
    os.close(inherited)
    fds = {name: one["fds"] for name, one in seen.items()}
    assert sorted(fds["qmail-send"]) == list("0123456")
    assert all(target.startswith("pipe:") for target in fds["qmail-send"].values())
    assert all(sorted(fds[name]) == ["0", "1"] for name in NAMES if name != "qmail-send")
    ends = [(fds["qmail-send"][at], fds[name][own]) for at, name, own in (
        ("0", "logger", "0"), ("1", "qmail-lspawn", "0"), ("2", "qmail-lspawn", "1"), ("3", "qmail-rspawn", "0"),
        ("4", "qmail-rspawn", "1"), ("5", "qmail-clean", "0"), ("6", "qmail-clean", "1"))]
    assert all(here == there for here, there in ends)
    assert len({here for here, _ in ends}) == len(ends)


@pytest.mark.root
def test_without_logger_the_log_is_descriptor_1(stage):
    done, seen = stage()
    assert seen["qmail-lspawn"]["argv"] == ["./Mailbox"]
    assert "logger" not in seen
    assert seen["qmail-send"]["fds"]["0"].startswith("pipe:")       # the test's own


@pytest.mark.root
def test_it_notes_who_qmail_send_is(stage):
    done, seen = stage()
    with open(f"{stage.home}/run/send.pid", encoding="ascii") as f:
        assert int(f.read().split()[0]) == seen["qmail-send"]["pid"]


@pytest.mark.root
def test_programs_that_are_not_in_path(stage):
    done, seen = stage(path="/usr/bin:/bin")
    assert (done.returncode, done.stdout, done.stderr, seen) == (111, b"", b"", {})


@pytest.mark.root
@pytest.mark.parametrize("number,options", [("120", []), ("121", ["--wide-remote"])])
def test_wide_numbers_only_between_our_own_programs(stage, number, options):
    with open(f"{stage.home}/control/concurrencyremote", "w", encoding="ascii") as f:
        f.write(f"{number}\n")
    done, seen = stage()
    assert seen["qmail-send"]["argv"] == []         # the stubs are somebody else's
    for name in ("qmail-send", "qmail-rspawn"):
        with open(f"{stage.home}/bin/{name}", "a", encoding="ascii") as f:
            f.write(f"# from pyqmail.programs.{name.replace('-', '_')} import main\n")
    done, seen = stage()
    assert (seen["qmail-send"]["argv"], seen["qmail-rspawn"]["argv"]) == (options, ["--wide"] * len(options))


@pytest.mark.root
def test_only_the_owner_of_the_home_can_start_it(stage):
    done, seen = stage(user="nobody")
    assert done.returncode == 111 and b"belongs to uid 0" in done.stderr
    os.chown(stage.home, pwd.getpwnam("nobody").pw_uid, -1)
    done, seen = stage()
    assert done.returncode == 111 and b"only that user can start it" in done.stderr
    assert seen == {}
