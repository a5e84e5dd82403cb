"""The conversation with qmail-clean."""
import os

import pytest

from pyqmail.send.cleaner import ON_THE_WAY, Cleaner


class Peer:
    def __init__(self):
        self.requests, write = os.pipe()
        read, self.answers = os.pipe()
        self.lost, self.answered = [], []
        self.cleaner = Cleaner(lambda: self.lost.append(True), write, read)

    def ask(self, kind, number):
        self.cleaner.request(kind, number, lambda answer: self.answered.append((kind, number, answer)))

    def answer(self, data):
        os.write(self.answers, data)
        self.cleaner.receive()


@pytest.fixture
def peer():
    return Peer()


def test_requests_do_not_wait_and_answers_come_in_order(peer):
    peer.ask("todo", 1001)
    peer.ask("foop", 7)
    assert os.read(peer.requests, 1000) == b"todo/1001\0foop/7\0"
    peer.answer(b"+")
    assert peer.answered == [("todo", 1001, b"+")]
    peer.answer(b"!")
    assert peer.answered[1:] == [("foop", 7, b"!")]
    assert not peer.cleaner.outstanding


def test_a_number_being_removed_is_known_until_the_answer(peer):
    peer.ask("foop", 7)
    assert peer.cleaner.removing(7) and not peer.cleaner.removing(8)
    peer.answer(b"+")
    assert not peer.cleaner.removing(7)


def test_never_more_on_the_way_than_fit(peer):
    for number in range(ON_THE_WAY + 150):
        peer.ask("foop", 18_446_744_073_709_551_000 + number)
    sent = os.read(peer.requests, 100_000)
    assert sent.count(b"\0") == ON_THE_WAY and len(sent) <= 4096
    assert peer.cleaner.crowded
    peer.answer(b"+" * 100)
    peer.cleaner.send()
    assert os.read(peer.requests, 100_000).count(b"\0") == ON_THE_WAY
    assert not peer.cleaner.crowded


def test_answers_end(peer):
    peer.ask("todo", 1)
    peer.ask("todo", 2)
    os.close(peer.answers)
    peer.cleaner.receive()
    assert peer.lost == [True] and not peer.cleaner.alive
    assert peer.answered == [("todo", 1, None), ("todo", 2, None)]


def test_requests_cannot_be_written(peer):
    os.close(peer.requests)
    peer.ask("foop", 1)
    assert peer.lost == [True]
    peer.ask("foop", 2)
    assert peer.answered == [("foop", 1, None), ("foop", 2, None)] and peer.lost == [True]


def test_an_answer_to_nothing_is_ignored(peer):
    peer.answer(b"+")
    assert peer.answered == []
