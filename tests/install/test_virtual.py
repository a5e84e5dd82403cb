"""The home of virtual domains: made where it is missing, taken over where it is there."""
import os

import pytest

from pyqmail.install import virtual
from pyqmail.vpopmail import home as vpop


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
