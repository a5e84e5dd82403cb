"""Every process of a running system, down to its descriptors and capabilities: read from /proc."""
import collections
import os
import poplib
import subprocess

import pytest

from tests.peers.roles import EVENTS, LOG, by_role, gid, uid

pytestmark = [pytest.mark.root, pytest.mark.system]

NULL, TABLE = "/dev/null", "/memfd:connections (deleted)"


def role(user, group, *more):
    return [uid(user)] * 4, [gid(group)] * 4, sorted(map(gid, (group, *more)))


def holds(process, *expected, sockets=0):
    """The descriptors, whatever their numbers; `sockets` of them beyond those named."""
    assert collections.Counter(process.fds.values()) == collections.Counter([*expected, *["socket"] * sockets]), process


@pytest.fixture
def everybody(mail, person):
    """{role: [process]} while the system has just delivered to `person`, who is logged in by POP3."""
    mail.send("s@a.example", person.address)
    mail.wait(person.messages)
    mailbox = poplib.POP3("127.0.0.1", mail.system.pop3, timeout=60)
    mailbox.user(person.name)
    mailbox.pass_(person.password)
    mail.wait(lambda: not mail.in_queue())

    yield by_role(mail.processes())
    mailbox.quit()


def test_who_they_are(everybody, person):
    itself = [person.uid] * 4, [person.gid] * 4, [person.gid]
    expected = {
        "qmailctl": ([0] * 4, [0] * 4, []), "authenticator": ([0] * 4, [0] * 4, []),
        "lspawn": ([0] * 4, [gid("qmail")] * 4, [gid("qmail")]),
        "qmail-send": role("qmails", "qmail"), "qmail-rspawn": role("qmailr", "qmail"), "rguardian": role("qmailr", "qmail"),
        "qmail-clean": role("qmailq", "qmail"),
        "guardian": role("qmailq", "qmail", "nofiles"), "service": role("qmailq", "qmail", "nofiles"),
        "qmail-log": role("qmaill", "nofiles"), "resolver": role("qmailp", "nofiles"),
        "smtpd": role("qmaild", "nofiles"), "smtpworker": role("qmaild", "nofiles"),
        "rcptcheck": ([0] * 4, [gid("qmail")] * 4, [gid("qmail")]),
        "rcptfront": role("qmailp", "nofiles"), "rcptresolver": role("qmailp", "nofiles"),
        "front": role("qmaild", "nofiles"), "popworker": role("qmaild", "nofiles"), "pop3d": itself,
    }
    for name in ("warm", "rcptlook"):
        assert itself in [(process.uids, process.gids, process.groups) for process in everybody[name]]
    for process in everybody.pop("warm") + everybody.pop("rcptlook"):
        assert len({*process.uids}) == len({*process.gids}) == 1 and process.groups == process.gids[:1]
    assert set(everybody) == set(expected)
    for name, processes in everybody.items():
        assert processes, name
        for process in processes:
            assert (process.uids, process.gids, process.groups) == expected[name], name


def test_nobody_but_root_has_capabilities(everybody):
    for process in sum(everybody.values(), []):
        assert process.uid == 0 or process.capabilities == {0}, process


def test_rights_that_cannot_come_back(everybody):
    """No set-uid program helps whoever takes over one of these."""
    for name in ("qmail-send", "qmail-rspawn", "rguardian", "qmail-clean", "guardian", "service", "smtpworker", "front",
                 "popworker", "rcptcheck", "rcptfront", "rcptresolver", "rcptlook"):
        for process in everybody[name]:
            assert process.no_new_privs, name


def test_secrets_are_not_dumpable(everybody):
    for name in ("warm", "resolver", "smtpworker", "rcptfront", "rcptresolver", "rcptlook"):
        for process in everybody[name]:
            assert not process.dumpable, name


def test_umasks(everybody):
    expected = {"qmail-send": 0o077, "lspawn": 0o077, "warm": 0o077, "resolver": 0o077, "qmail-rspawn": 0o077,
                "rguardian": 0o077, "qmail-clean": 0o077, "guardian": 0o033, "service": 0o033, "authenticator": 0o077, "front": 0o077,
                "popworker": 0o077, "pop3d": 0o077, "qmail-log": 0o027, "qmailctl": 0o022, "smtpd": 0o022,
                "smtpworker": 0o022, "rcptcheck": 0o077, "rcptfront": 0o077, "rcptresolver": 0o077, "rcptlook": 0o077}
    for name, processes in everybody.items():
        assert {process.umask for process in processes} == {expected[name]}, name


def test_where_they_stand(everybody, mail, person):
    queue = f"{mail.home}/queue"
    expected = {"qmail-send": queue, "qmail-clean": queue, "guardian": queue, "service": queue,
                "lspawn": f"{queue}/mess", "resolver": f"{queue}/mess", "qmail-rspawn": f"{queue}/mess", "warm": "/",
                "rguardian": f"{queue}/mess",
                "pop3d": f"{person.home}/Maildir", "authenticator": "/", "front": "/", "popworker": "/",
                "qmailctl": "/", "smtpd": "/", "smtpworker": "/", "rcptcheck": "/", "rcptfront": "/",
                "rcptresolver": "/", "rcptlook": "/"}
    for name, where in expected.items():
        assert {process.cwd for process in everybody[name]} == {where}, name


def test_what_the_delivery_side_holds(everybody):
    [send], [lspawn], [guardian], [rspawn], [clean] = (everybody[name] for name in (
        "qmail-send", "lspawn", "rguardian", "qmail-rspawn", "qmail-clean"))
    assert [send.fds[fd] for fd in range(8)] == ["pipe"] * 8
    holds(send, *["pipe"] * 10, "queue/lock/sendmutex", "queue", "queue/lock/trigger", "run/qmail-send",
          "run/qmail-send/hands")
    assert (lspawn.fds[0], lspawn.fds[1], lspawn.fds[2]) == ("pipe", "pipe", NULL)
    warm = everybody["warm"]
    with_pipe = [process for process in warm if process.fds[1] == "pipe"]       # the others await their next delivery
    holds(lspawn, *["pipe"] * (4 + len(with_pipe)), NULL, NULL, EVENTS, sockets=len(everybody["resolver"]) + len(warm))
    for process in (guardian, rspawn):
        assert (process.fds[0], process.fds[1], process.fds[2]) == ("pipe", "pipe", NULL)
    holds(guardian, *["pipe"] * 4, NULL, sockets=1)
    holds(rspawn, "pipe", "pipe", NULL, EVENTS, f"/proc/{rspawn.pid}/net/if_inet6", sockets=3)
    assert clean.fds == {0: "pipe", 1: "pipe"}
    for process in everybody["resolver"]:
        assert process.fds == {0: NULL, 1: NULL, 2: NULL, 3: "socket"}
    for process in warm:
        output = "pipe" if process in with_pipe else NULL
        assert process.fds == {0: NULL, 1: output, 2: output, 3: "socket", 4: NULL}


def test_what_the_queue_service_holds(everybody):
    [guardian], [worker] = everybody["guardian"], everybody["service"]
    for process in (guardian, worker):
        assert [process.fds[fd] for fd in range(3)] == [NULL, LOG, LOG]
    holds(guardian, NULL, LOG, LOG, *["pipe"] * 3, "[pidfd]", "run/qmail-queue/lock", sockets=1)
    holds(worker, NULL, LOG, LOG, *["pipe"] * 3, EVENTS, sockets=1)


def test_what_the_smtp_side_holds(everybody):
    [parent] = everybody["smtpd"]
    holds(parent, NULL, LOG, LOG, "pipe", "pipe", TABLE, EVENTS, sockets=1)
    for worker in everybody["smtpworker"]:
        fds = collections.Counter(worker.fds.values())
        for later in ("control/tcp.smtp.cdb", "inotify"):       # once they are asked, like the way to qmail-rcptcheck
            del fds[later]
        sockets = fds.pop("socket")
        assert fds == collections.Counter([NULL, LOG, LOG, "pipe", "pipe", TABLE, EVENTS, EVENTS]) and sockets in (3, 4)


def test_what_the_recipient_check_holds(everybody):
    [root], [front] = everybody["rcptcheck"], everybody["rcptfront"]
    holds(root, NULL, LOG, LOG, "pipe", "pipe", NULL, NULL, EVENTS, *["pipe"] * len(everybody["rcptlook"]),
          sockets=1 + len(everybody["rcptresolver"]) + len(everybody["rcptlook"]))
    talking = sum(list(worker.fds.values()).count("socket") == 4 for worker in everybody["smtpworker"])
    holds(front, NULL, NULL, LOG, "pipe", "pipe", EVENTS, sockets=2 + talking)
    for process in everybody["rcptresolver"]:
        assert process.fds == {0: NULL, 1: NULL, 2: LOG, 3: "socket"}
    for process in everybody["rcptlook"]:
        assert process.fds == {0: NULL, 1: "pipe", 2: "pipe", 3: "socket", 4: NULL}


def test_what_the_pop3_side_holds(everybody):
    [authenticator], [front], [session] = everybody["authenticator"], everybody["front"], everybody["pop3d"]
    holds(authenticator, NULL, LOG, LOG, "pipe", "pipe", EVENTS, sockets=1)
    holds(front, NULL, LOG, LOG, "pipe", "pipe", TABLE, EVENTS, sockets=2)
    for worker in everybody["popworker"]:
        holds(worker, NULL, LOG, LOG, "pipe", "pipe", TABLE, EVENTS, EVENTS, sockets=4)
    assert session.fds == {0: "socket", 1: "socket", 2: LOG}


def test_root_is_no_mail_user(mail, people, alias_file):
    """Mail for root goes to alias by qmail-getpw, and a uid 0 in users/assign waits."""
    someone = people()
    name = f"pyq{os.urandom(4).hex()}"
    done = subprocess.run([f"{mail.home}/bin/qmail-getpw", "root"], capture_output=True)
    assert done.stdout.split(b"\0")[:2] == [b"alias", b"%d" % uid("alias")]
    alias_file(name, f"&{someone.name}\n")
    mail.send("s@a.example", f"{name}@localhost")
    [message] = mail.wait(someone.messages)
    assert f"Delivered-To: {name}@localhost\n".encode() in message


def test_root_by_assignment_waits(make_system):
    def assign(home):
        with open(f"{home}/users/assign", "w", encoding="ascii") as f:
            f.write("=chief:root:0:0:/root:::\n.\n")
        subprocess.run([f"{home}/bin/qmail-newu"], check=True)
    mail = make_system(assign)
    mail.unchecked()
    mail.send("s@a.example", "chief@localhost")
    mail.wait(lambda: "deferral: Not_allowed_to_perform_deliveries_as_root./" in mail.log())
    assert len(mail.queued()) == 1
