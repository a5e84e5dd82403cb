"""The words of the recipient check: whole, cut, and wrong."""
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyqmail.rcptcheck import wire

FIELD = st.binary(max_size=50).map(lambda data: data.replace(b"\0", b""))
NUMBER = st.integers(0, 10 ** 17)


@given(NUMBER, NUMBER, st.lists(FIELD, min_size=1, max_size=wire.BATCH))
def test_question(number, size, addresses):
    assert wire.read_question(wire.question(number, size, addresses)) == (number, size, addresses)


@pytest.mark.parametrize("packet", [
    b"", b"RC1", b"RC1\x001", b"RC1\x001\x000", b"RC2\x001\x000\0joe", b"RC1\0x\x000\0joe", b"RC1\x001\0-1\0joe",
    b"RC1\x00" + b"1" * 19 + b"\x000\0joe", wire.question(1, 0, [b"x"] * (wire.BATCH + 1)),
    wire.question(1, 0, [b"x" * (wire.ADDRESS + 1)])])
def test_no_question(packet):
    assert wire.read_question(packet) is None


@given(NUMBER, NUMBER, FIELD.filter(bool), FIELD)
def test_order(number, size, local, domain):
    assert wire.read_order(wire.order(number, size, local, domain)) == (number, size, local, domain)


@pytest.mark.parametrize("packet", [b"", b"1\x000\0joe", b"1\x000\0\0x", b"x\x000\0joe\0x", b"1\x000\0joe\0x\0y",
                                    wire.order(1, 0, b"x" * wire.ORDER, b"x")])
def test_no_order(packet):
    assert wire.read_order(packet) is None


@pytest.mark.parametrize("packet, found", [
    (b"7\0K", (7, [b"K"])), (b"7\0K12\0U\0Q\0Z", (7, [b"K12", b"U", b"Q", b"Z"])), (b"7", None), (b"", None),
    (b"x\0K", None),
    (b"7\0U1\0\0k\0K-1\0K" + b"1" * 19 + b"\x00550", (7, [b"Z"] * 6))])
def test_answer(packet, found):
    """What is no answer is never "unknown"."""
    assert wire.read_answer(packet) == found


@given(st.binary(max_size=200))
def test_anything(packet):
    wire.read_question(packet)
    wire.read_order(packet)
    found = wire.read_answer(packet)
    assert found is None or all(map(wire.valid, found[1]))


@pytest.mark.parametrize("answer, room", [(b"K", None), (b"K0", 0), (b"K17", 17)])
def test_room(answer, room):
    assert wire.room(answer) == room
