"""Who every process is, while the whole system runs: read from /proc."""
import grp
import os
import pwd
import signal
import time

import pytest

pytestmark = [pytest.mark.root, pytest.mark.system]


def processes(home):
    """[(program, status)] of every process that runs something below the home."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                words = f.read().split(b"\0")
            with open(f"/proc/{pid}/status", encoding="utf-8") as f:
                status = dict(line.rstrip("\n").split(":", 1) for line in f)
            place = os.readlink(f"/proc/{pid}/cwd")
        except OSError:
            continue
        names = [os.path.basename(word).decode() for word in words if word.startswith(os.fsencode(home) + b"/bin/")]
        if names:
            found.append((names[0], {"pid": int(pid), "uids": ids(status["Uid"]), "gids": ids(status["Gid"]),
                                     "groups": ids(status["Groups"]), "umask": int(status["Umask"], 8), "cwd": place,
                                     "no_new_privs": int(status["NoNewPrivs"])}))
    return found


def comes_to(look, wanted):
    """look() gives what is wanted, as soon as a process that has only begun has got so far."""
    end = time.monotonic() + 60
    while (found := look()) != wanted and time.monotonic() < end:
        time.sleep(0.05)
    assert found == wanted


def ids(text):
    return [int(word) for word in text.split()]


def who(user, group, *groups):
    gid = grp.getgrnam(group).gr_gid
    return {"uids": [pwd.getpwnam(user).pw_uid] * 4, "gids": [gid] * 4,
            "groups": sorted({gid, *(grp.getgrnam(name).gr_gid for name in groups)})}


def test_who_everybody_is(system):
    allowed = {
        "qmail-send": [who("qmails", "qmail")],
        "qmail-lspawn": [who("root", "qmail"), who("qmailp", "nofiles")],
        "qmail-rspawn": [who("qmailr", "qmail")],
        "qmail-clean": [who("qmailq", "qmail")],
        "qmail-queue": [who("qmailq", "qmail", "nofiles")],
        "qmail-log": [who("qmaill", "nofiles")],
        "qmail-smtpd": [who("qmaild", "nofiles")],
        "qmail-rcptcheck": [who("root", "qmail"), who("qmailp", "nofiles"), who("alias", "nofiles")],
    }

    def as_promised(name, process):
        if process["uids"][0] >= 1000 and process["groups"] == process["gids"][:1] and name in (
                "qmail-lspawn", "qmail-rcptcheck"):         # a warm qmail-local; one that looks as the user
            return len(set(process["uids"])) == len(set(process["gids"])) == 1
        return name not in allowed or {key: process[key] for key in ("uids", "gids", "groups")} in allowed[name]

    def wrong():
        seen = processes(system.home)
        missing = {*allowed, "qmail-popup", "qmailctl"} - {name for name, _ in seen}
        return missing, [entry for entry in seen if not as_promised(*entry)]
    comes_to(wrong, (set(), []))


def test_nobody_is_root_who_need_not_be(system):
    comes_to(lambda: {name for name, process in processes(system.home) if 0 in process["uids"]},
             {"qmail-lspawn", "qmail-popup", "qmailctl", "qmail-rcptcheck"})


def test_who_can_never_gain_rights(system):
    confined = {"qmail-clean", "qmail-rspawn", "qmail-queue", "qmail-log", "qmail-rcptcheck"}
    comes_to(lambda: {(name, process["no_new_privs"]) for name, process in processes(system.home) if name in confined},
             {(name, 1) for name in confined})


def test_where_everybody_is(system):
    queue = f"{system.home}/queue"
    wanted = {("qmail-send", queue), ("qmail-clean", queue), ("qmail-queue", queue), ("qmail-lspawn", f"{queue}/mess"),
              ("qmail-rspawn", f"{queue}/mess"), ("qmailctl", "/"), ("qmail-rcptcheck", "/")}
    comes_to(lambda: wanted - {(name, process["cwd"]) for name, process in processes(system.home)}, set())


def test_what_dies_is_started_again_and_mail_flows_on(system, person):
    import smtplib
    for name in ("smtpd", "send", "pop3d", "rcptcheck"):
        before = system.pid(name)
        os.kill(before, signal.SIGKILL)
        system.wait(lambda: os.path.exists(f"{system.home}/run/{name}.pid") and system.pid(name) != before)

    def deliver():
        try:
            with smtplib.SMTP("127.0.0.1", system.smtp, timeout=20) as smtp:
                return smtp.sendmail("s@a.example", [f"{person.name}@localhost"], "Subject: x\r\n\r\nx\r\n") == {}
        except (OSError, smtplib.SMTPException):
            return False
    system.wait(deliver)
    assert system.wait(person.messages)
    assert "ended with status -9, starting it again" in system.log("qmailctl")


def test_doctor_finds_nothing(system):
    system.wait(lambda: system.ctl("stat")[1].count(": up") == 4)
    assert system.ctl("doctor") == (0, "all is as it should be\n")


def test_stop_and_start(system):
    assert system.ctl("stop")[0] == 0
    comes_to(lambda: processes(system.home), [])          # the spawners end when they see that qmail-send has
    assert system.ctl("stat")[1].count(": down") == 4
    assert system.ctl("start") == (0, "")
    assert system.ctl("stat")[1].count(": up") == 4
