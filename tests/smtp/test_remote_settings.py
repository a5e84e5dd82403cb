"""What a long-lived process takes from the control files."""
import pytest

from pyqmail.base import home, ipme
from pyqmail.smtp import remote, reports, route
from pyqmail.smtp.remote import Current


@pytest.fixture
def control(tmp_path, monkeypatch):
    monkeypatch.setattr(home, "HOME", str(tmp_path))
    (tmp_path / "control").mkdir()
    (tmp_path / "control/me").write_bytes(b"me.example\n")
    return tmp_path / "control"


def test_files_count_as_soon_as_they_change(control):
    current = Current()
    assert current.settings(b"far.test")[:4] == (b"me.example", remote.CONNECT_TIMEOUT, remote.REMOTE_TIMEOUT, None)
    assert (current.messages, current.recipients) == (remote.MESSAGES, 1)
    for name, text in (("helohost", b"him.example"), ("timeoutremote", b"7"), ("smtproutes", b":[192.0.2.1]:26"),
                       ("remotemessages", b"0"), ("remoterecipients", b"99999")):
        (control / name).write_bytes(text + b"\n")
    relay = route.Relay(b"[192.0.2.1]", 26)
    assert current.settings(b"far.test")[:4] == (b"him.example", remote.CONNECT_TIMEOUT, 7, relay)
    assert (current.messages, current.recipients) == (1, remote.RECIPIENTS_MAX)
    (control / "helohost").unlink()
    assert current.settings(b"far.test").helo == b"me.example"


def test_what_cannot_be_read_is_temporary_until_it_can(control):
    current = Current()
    (control / "me").rename(control / "you")
    with pytest.raises(route.Unreachable) as why:
        current.settings(b"far.test")
    assert why.value.report == reports.NO_CONTROLS
    (control / "you").rename(control / "me")
    assert current.settings(b"far.test").helo == b"me.example"


def test_our_addresses_are_looked_at_now_and_then(control, monkeypatch):
    now, asked = [1000.0], []

    class Clock:
        monotonic = staticmethod(lambda: now[0])
    monkeypatch.setattr(remote, "Clock", Clock)
    monkeypatch.setattr(ipme, "addresses", lambda: asked.append(now[0]) or {b"192.0.2.1"})
    current = Current()
    for seconds in (0, remote.OURS_AGE / 2, remote.OURS_AGE / 2):
        now[0] += seconds
        assert current.settings(b"far.test").ours == {b"192.0.2.1"}
    assert asked == [1000.0, 1000.0 + remote.OURS_AGE]
    (control / "smtproutes").write_bytes(b":192.0.2.9\n")
    assert current.settings(b"far.test").ours is None
