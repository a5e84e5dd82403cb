"""Starting, stopping and restarting at any moment, as a service manager or an impatient person does."""
import os
import subprocess

import pytest

from tests.peers.load import Load, numbers

pytestmark = [pytest.mark.root, pytest.mark.system]


@pytest.fixture(scope="module")
def mail(make_system):
    return make_system()


def test_start_again_changes_nothing(mail):
    before = {process.pid for process in mail.processes() if process.program != "qmail-lspawn"}
    status, text = mail.ctl("start")
    assert status == 0 and text.startswith("already running (supervisor pid ")
    assert before <= {process.pid for process in mail.processes()}


def test_two_starts_at_once(mail):
    assert mail.ctl("stop") == (0, "")
    starts = [subprocess.Popen([f"{mail.home}/bin/qmailctl", "start"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
              for _ in range(3)]
    assert 0 in [start.wait(60) for start in starts]
    for start in starts:
        start.communicate()
    mail.up()
    assert len([process for process in mail.processes("qmail-send")]) == 1


def test_stop_twice_and_start(mail, person):
    assert mail.ctl("stop") == (0, "")
    mail.wait(lambda: mail.processes() == [])               # the spawners end when they see that qmail-send has
    assert mail.ctl("stop") == (0, "")
    assert mail.ctl("doqueue")[0] == 1                      # says that nothing runs, and does nothing
    assert mail.sendmail(person, person.name).returncode == 111
    assert mail.ctl("start") == (0, "")
    mail.send("s@a.example", person.address)
    mail.wait(person.messages)


def test_restart_under_load(mail, person):
    with Load(mail, person.address, person.address) as load:
        for _ in range(3):
            load.more(15)
            mail.restart()
        load.more(15)
    mail.wait(lambda: load.accepted <= numbers(person.messages()), 60)
    mail.settled()
    assert len(person.messages()) == len(load.accepted | numbers(person.messages()))      # a clean stop: nothing twice


def test_paused_services_can_be_stopped(mail):
    assert mail.ctl("pause") == (0, "")
    assert mail.ctl("stop") == (0, "")
    mail.wait(lambda: mail.processes() == [])               # the spawners end when they see that qmail-send has
    assert mail.ctl("start") == (0, "")


def test_stale_pid_files(mail):
    """After a power cut run/ names processes that are others now, or none."""
    assert mail.ctl("stop") == (0, "")
    for name, content in (("send.pid", f"{os.getpid()} 1\n"), ("supervisor.pid", "999999 1\n"),
                          ("supervisor.lock", f"{os.getpid()}\n")):
        with open(f"{mail.home}/run/{name}", "w", encoding="ascii") as f:
            f.write(content)
    assert mail.ctl("start")[0] == 0
    mail.up()
