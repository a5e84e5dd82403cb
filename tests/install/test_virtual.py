"""The home of virtual domains: made where it is missing, taken over where it is there."""
import os

import pytest

from pyqmail.base import tcprules
from pyqmail.install import services, virtual
from pyqmail.vpopmail import home as vpop
from pyqmail.vpopmail import roaming


@pytest.fixture
def place(tmp_path):
    return os.fsencode(tmp_path)


def told(place):
    lines = []
    virtual.fill(place, lines.append)
    return lines


def test_what_is_missing_is_made_once(place):
    assert any("vlimits.default" in line for line in told(place))
    assert os.stat(place + b"/domains").st_mode & 0o777 == 0o700
    assert os.path.basename(os.readlink(place + b"/bin/vadddomain")) == b"vadddomain"
    assert told(place) == []


def test_an_existing_home_keeps_its_settings_and_programs(place):
    os.makedirs(place + b"/bin")
    os.makedirs(place + b"/etc")
    for name in (b"bin/vadduser", b"etc/tcp.smtp"):
        with open(place + b"/" + name, "wb") as f:
            f.write(b"old\n")
    told(place)
    for name in (b"bin/vadduser.before", b"etc/tcp.smtp"):
        with open(place + b"/" + name, "rb") as f:
            assert f.read() == b"old\n"


def test_every_program_is_one_of_ours():
    names = virtual.programs()
    assert {"vadddomain", "vdelivermail", "vchkpw", "dotqmail2valias"} <= set(names)
    assert not set(names) & {"qmailctl", "sendmail"}


def test_the_home_of_a_private_installation_is_below_it(monkeypatch):
    monkeypatch.setattr(vpop.accounts, "private", lambda: (7, 8))
    vpop._known.clear()
    try:
        assert vpop.vpophome().endswith(b"/vpopmail") and vpop.ids() == (7, 8)
    finally:
        vpop._known.clear()


FIXED = b'10.:allow,RELAYCLIENT=""\n:allow\n'


@pytest.fixture
def both(tmp_path, monkeypatch):
    """(control/tcp.smtp, VPOPHOME/etc/tcp.smtp), neither of them there."""
    q, v = tmp_path / "q", tmp_path / "v"
    for path in (q / "control", v / "etc"):
        path.mkdir(parents=True)
    monkeypatch.setattr(virtual.home, "HOME", str(q))
    vpop.use(os.fsencode(v), os.getuid(), os.getgid())
    yield q / "control/tcp.smtp", v / "etc/tcp.smtp"
    vpop._known.clear()


def share(both, ours_hold=False):
    lines = []
    virtual.share_rules(ours_hold, lines.append)
    return lines


@pytest.mark.parametrize("ours, theirs, ours_hold, held", [
    (FIXED, virtual.RULES, True, FIXED),            # a new VPOPHOME: the rules there are stay where they are
    (virtual.FIXED, FIXED, False, FIXED),           # one that is taken over: its rules hold
    (None, FIXED, False, FIXED),
    (FIXED, FIXED, False, FIXED),
])
def test_smtp_and_logins_share_one_table(both, ours, theirs, ours_hold, held):
    for path, text in zip(both, (ours, theirs)):
        if text is not None:
            path.write_bytes(text)
    [line] = share(both, ours_hold)
    assert line.startswith("linked control/tcp.smtp.cdb")
    assert both[0].read_bytes() == both[1].read_bytes() == held
    assert both[0].is_symlink() != both[1].is_symlink()
    table = both[0].with_suffix(".smtp.cdb")
    assert table.is_symlink() and table.samefile(both[1].with_suffix(".smtp.cdb"))
    assert share(both) == []
    roaming.open_relay(b"192.0.2.7")
    services.compile_rules()
    rules = tcprules.Rules(str(table))
    assert rules.find(b"192.0.2.7") == (True, {b"RELAYCLIENT": b"", b"RBLSMTPD": b""})
    assert rules.find(b"10.1.1.1") == (True, {b"RELAYCLIENT": b""}) and table.is_symlink()


def test_different_rules_are_nobodys_but_the_administrators_to_join(both):
    both[0].write_bytes(FIXED)
    both[1].write_bytes(b":deny\n")
    [line] = share(both)
    assert "different rules" in line and both[0].read_bytes() == FIXED and not both[0].is_symlink()


def test_one_file_for_both_needs_no_link(both):
    vpop._known["options"] = {**vpop.OPTIONS, b"tcpserver-file": os.fsencode(both[0])}
    both[0].write_bytes(FIXED)
    assert share(both) == []
