"""Checks of an order, in the order in which qmail makes them."""
import os

import pytest

from pyqmail.spawn import orders
from pyqmail.spawn.wire import Order

SOUND = Order(5, b"12/1001", b"s@a", b"joe@b")
TABLE = [
    (SOUND._replace(oversize=True, delnum=200), orders.NO_MEMORY),
    (SOUND._replace(delnum=120, messid=b"x"), orders.NUMBER_TOO_BIG),
    (SOUND._replace(delnum=7, messid=b"x"), orders.NUMBER_IN_USE),
    (SOUND._replace(messid=b"12/10a1", recipient=b""), orders.MESSID_BAD),
    (SOUND._replace(messid=b"/12/1001"), orders.MESSID_BAD),
    (SOUND._replace(messid=b"../12/1001"), orders.MESSID_BAD),
    (SOUND._replace(messid=b"1" * 99 + b".1"), orders.MESSID_BAD),
    (SOUND._replace(messid=b"1" * 100, recipient=b""), orders.MESSID_LONG),
    (SOUND._replace(messid=b"", recipient=b""), orders.MESSID_EMPTY),
    (SOUND._replace(messid=b"9/9", recipient=b"joe"), orders.NO_HOST),
    (SOUND._replace(messid=b"9/9"), orders.NO_OPEN),
    (SOUND._replace(messid=b"1" * 99), orders.NO_OPEN),
    (SOUND._replace(messid=b"12"), orders.WRONG_TYPE),
    (SOUND._replace(messid=b"12/7"), orders.WRONG_TYPE),
]


@pytest.fixture
def mess(tmp_path, monkeypatch):
    (tmp_path / "12").mkdir()
    (tmp_path / "12/1001").write_bytes(b"line\n")
    os.mkfifo(tmp_path / "12/7")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("order, report", TABLE)
def test_refused(mess, order, report):
    before = os.listdir("/proc/self/fd")
    with pytest.raises(orders.Refused) as refused:
        orders.open_message(order, 120, {7}, os.getuid())
    assert refused.value.report == report
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_wrong_owner(mess):
    with pytest.raises(orders.Refused) as refused:
        orders.open_message(SOUND, 120, (), os.getuid() + 1)
    assert refused.value.report == orders.WRONG_OWNER


def test_accepted(mess):
    fd = orders.open_message(SOUND, 120, {7}, os.getuid())
    assert os.read(fd, 10) == b"line\n" and not os.get_inheritable(fd)
    os.close(fd)


def numbers(received, most):
    return [[order.delnum for order in group] for group in orders.grouped(received, most)]


def test_orders_for_one_message_sender_and_host_are_grouped():
    received = [Order(0, b"1/1", b"s@a", b"a@b"), Order(1, b"1/1", b"s@a", b"c@B"), Order(2, b"2/2", b"s@a", b"a@b"),
                Order(3, b"1/1", b"t@a", b"d@b"), Order(4, b"1/1", b"s@a", b"a@other"), Order(5, b"1/1", b"s@a", b"e@b")]
    assert numbers(received, 10) == [[0, 1, 5], [2], [3], [4]]
    assert numbers(received, 2) == [[0, 1], [2], [3], [4], [5]]
    assert numbers(received, 1) == [[0], [1], [2], [3], [4], [5]]


def test_equal_recipients_get_a_copy_each():
    received = [Order(number, b"1/1", b"s@a", recipient) for number, recipient in enumerate([b"a@b", b"a@b", b"c@b"])]
    assert numbers(received, 10) == [[0], [1, 2]]
