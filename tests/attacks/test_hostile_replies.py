"""Checklist B: what a mail server says is data. It is bounded, and cannot pose as a report of ours."""
import pytest

from pyqmail.base.clock import Clock
from pyqmail.programs import qmail_remote
from pyqmail.smtp import client, reports
from pyqmail.smtp.client import NOTHING, READ, Peer, Session

DIED = b"ZConnected to 192.0.2.1 but connection died. (#4.4.2)\n\0"


def session():
    return Session(Peer(b"192.0.2.1", b"me"), b"s@a", [b"r@b"])


@pytest.mark.parametrize("piece", [b"220-more\r\n", b"x" * 100, b"\n" * 100, b"\0" * 100, b"2-\r\n"])
def test_an_endless_reply_ends(piece):
    dialogue = session()
    for _ in range(client.REPLY_MAX // len(piece) + 2):
        if dialogue.wants is READ:
            dialogue.receive(piece)
    assert dialogue.wants is NOTHING and len(dialogue.report) < client.REPLY_KEPT + 200


def test_a_long_reply_is_cut():
    dialogue = session()
    dialogue.receive(b"554-" + b"y" * 100_000 + b"\r\n554 end\r\n")
    frame = b"ZConnected to 192.0.2.1 but greeting failed.\nRemote host said: \0"
    assert len(dialogue.report) == len(frame) + client.REPLY_KEPT


POSING = [b"550 no\0Kaccepted\0", b"550 no\0\0r\0K", b"550-no\r\n550-\0K\r\n550 x", b"550 \rK\r\0K"]


@pytest.mark.parametrize("text", POSING)
def test_a_refusal_cannot_pose_as_an_acceptance(text):
    dialogue = session()
    dialogue.receive(b"220 hi\r\n250 ok\r\n250 ok\r\n" + text + b"\r\n")
    assert dialogue.report.count(b"\0") == 2 and b"\r" not in dialogue.report
    assert reports.summary(dialogue.report)[:1] == b"D"


class Trickle:
    """A socket whose other end sends one byte just before each timeout."""

    def recv(self, size):
        Trickle.now += 1199
        return b"2"

    def send(self, data):
        return len(data)


def test_a_reply_that_trickles_in_does_not_hold_its_slot_for_ever(monkeypatch):
    Trickle.now = 0
    monkeypatch.setattr(Clock, "monotonic", staticmethod(lambda: Trickle.now))
    dialogue = session()
    qmail_remote.converse(Trickle(), dialogue, 4800)
    assert dialogue.report == DIED and Trickle.now <= 6000
