"""Orders and reports: bytes beside records, cut into any pieces."""
import pytest
from hypothesis import given, settings, strategies as st

from pyqmail.spawn import wire

fields = st.binary(max_size=40).map(lambda data: data.replace(b"\0", b""))


def cut(data, places):
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in zip(edges, edges[1:])]


TABLE = [
    # width, bytes, orders
    (1, b"\x0012/1001\0s@a\0joe@b\0", [(0, b"12/1001", b"s@a", b"joe@b", False)]),
    (1, b"x1\0\0r\0\0\0\0\0", [(120, b"1", b"", b"r", False), (0, b"", b"", b"", False)]),
    (2, b"\0\x01" b"1\0s\0r\0", [(256, b"1", b"s", b"r", False)]),
    (2, b"\x05", []),
    (1, b"\x05" b"1\0s\0r", []),
]


@pytest.mark.parametrize("width, data, expected", TABLE)
def test_orders(width, data, expected):
    assert wire.OrderReader(width).feed(data) == expected
    reader = wire.OrderReader(width)
    assert [order for byte in data for order in reader.feed(bytes((byte,)))] == expected


@settings(max_examples=80)
@given(st.sampled_from([1, 2]), st.lists(st.tuples(st.integers(0, 255), fields, fields, fields), max_size=6),
       st.lists(st.integers(0, 10_000), max_size=8))
def test_orders_in_any_pieces(width, orders, places):
    reader = wire.OrderReader(width)
    data = b"".join(wire.order(*order, width=width) for order in orders)
    assert [order[:4] for piece in cut(data, places) for order in reader.feed(piece)] == orders


@settings(max_examples=80)
@given(st.sampled_from([1, 2]), st.lists(st.tuples(st.integers(0, 255), fields), max_size=6),
       st.lists(st.integers(0, 10_000), max_size=8))
def test_reports_in_any_pieces(width, reports, places):
    reader = wire.ReportReader(width)
    data = b"".join(wire.report(*report, width=width) for report in reports)
    assert [report for piece in cut(data, places) for report in reader.feed(piece)] == reports


@settings(max_examples=80)
@given(st.sampled_from([1, 2]), st.binary(max_size=300), st.lists(st.integers(0, 10_000), max_size=8))
def test_garbage_in_pieces_is_the_same_garbage(width, data, places):
    reader = wire.OrderReader(width)
    assert [order for piece in cut(data, places) for order in reader.feed(piece)] == wire.OrderReader(width).feed(data)


def test_a_long_report_is_cut_and_the_next_is_whole():
    reader = wire.ReportReader()
    assert reader.feed(b"\x03D" + b"x" * 20_000 + b"\0\x04K\0") == [
        (3, b"D" + b"x" * (wire.REPORT_MAX - 1)), (4, b"K")]


def test_an_oversize_order_is_marked_and_bounded():
    reader = wire.OrderReader()
    for _ in range(40):
        assert reader.feed(b"\x07" + b"1" * 65535) == []
    order, following = reader.feed(b"\0s@a\0r@b\0\x081\0s\0r@b\0")
    assert order.oversize and order.delnum == 7 and len(order.messid) == wire.ORDER_MAX
    assert following == (8, b"1", b"s", b"r@b", False)


def test_hello():
    assert wire.hello() == b"x" and wire.read_hello(b"x") == 120
    assert wire.hello(1000, 2) == b"\xe8\x03" and wire.read_hello(b"\xe8\x03", 2) == 1000
    with pytest.raises(ValueError):
        wire.read_hello(b"")


def test_a_nul_cannot_forge_an_order():
    with pytest.raises(ValueError):
        wire.order(0, b"1", b"s\0evil@x\0\x01" b"1\0", b"r@b")
    assert wire.report(1, b"Kok\0\x02K") == b"\x01Kok\0"
