"""Who controls an address by users/cdb: order of the look-up, and the fields it gives."""
import pytest
from hypothesis import given, settings, strategies as st

from pyqmail.base.errors import Temporary
from pyqmail.users import codes, lookup

RECORDS = {
    b"!joe\0": b"exact", b"!joe-": b"dash", b"!joe-list-": b"longer", b"!jo": b"unlisted", b"!": b"all",
    b"!list.": b"dot", b"": b"-.",
}
TABLE = [
    (b"joe", b"exact\0"), (b"JOE", b"exact\0"), (b"joe-", b"dash\0"), (b"Joe-Ext", b"dashExt\0"),
    (b"joe-LIST-x", b"longerx\0"), (b"joe-list", b"dashlist\0"), (b"jo", b"alljo\0"), (b"list.A", b"dotA\0"),
    (b"other-x", b"allother-x\0"), (b"", b"all\0"), (b"j\xc9", b"allj\xc9\0"),
]


@pytest.mark.parametrize("local, fields", TABLE)
def test_order(local, fields):
    assert lookup.find(RECORDS, local) == fields


def test_nobody():
    assert lookup.find({b"": b"-", b"!joe\0": b"x"}, b"sue") is None


@settings(max_examples=150)
@given(st.dictionaries(st.text("ab-.", max_size=4), st.just(True), max_size=5), st.text("abAB-.", max_size=6),
       st.text("ab-.", max_size=2))
def test_against_the_rule_itself(locals_, address, wildcards):
    database = {b"!" + name.encode(): name.encode() for name in locals_} | {b"": wildcards.encode()}
    fitting = [name for name in locals_ if address.lower().startswith(name) and (not name or name[-1] in wildcards)]
    best = max(fitting, key=len, default=None)
    expected = None if best is None else (best + address[len(best):]).encode() + b"\0"
    assert lookup.find(database, address.encode()) == expected


def test_no_list_of_wildcards_is_a_broken_database():
    with pytest.raises(codes.Undecided) as why:
        lookup.find({b"!joe\0": b"x"}, b"joe")
    assert why.value.code == codes.CDB


def test_trouble_is_no_absence():
    class Broken:
        def get(self, key):
            raise Temporary
    with pytest.raises(codes.Undecided) as why:
        lookup.find(Broken(), b"joe")
    assert why.value.code == codes.CDB


FIELDS = [
    (b"joe\x00507\x00100\x00/home/joe\0-\0ext\0", ("joe", 507, 100, "/home/joe", "-", "ext")),
    (b"joe\x00507x\x00y\x00h\0\0\0more\0", ("joe", 507, 0, "h", "", "")),
    (b"-n\x004294967294\x000\x00/\0\0\0", ("-n", 4294967294, 0, "/", "", "")),
    (b"root\x000\x000\x00/\0\0\0", codes.ROOT),
    (b"x\0x\x001\x00/\0\0\0", codes.ROOT),
    (b"x\x004294967295\x001\x00/\0\0\0", codes.BUG),        # (uid_t) -1: "stay root" to setresuid
    (b"x\x001\x004294967295\x00/\0\0\0", codes.BUG),
    (b"x\x00" + b"9" * 50_000 + b"\x001\x00/\0\0\0", codes.BUG),
    (b"", codes.BUG),
    (b"joe\x00507\x00100\x00/home/joe\0-\0ext", codes.BUG),
]


@pytest.mark.parametrize("fields, expected", FIELDS)
def test_controller(fields, expected):
    if isinstance(expected, int):
        with pytest.raises(codes.Undecided) as why:
            lookup.controller(fields)
        assert why.value.code == expected
    else:
        assert lookup.controller(fields) == tuple(x.encode() if isinstance(x, str) else x for x in expected)


@given(st.binary(max_size=60))
def test_nothing_unforeseen_comes_out_of_garbage(fields):
    try:
        assert 0 < lookup.controller(fields).uid <= lookup.HIGHEST_ID
    except codes.Undecided as why:
        assert why.code in (codes.BUG, codes.ROOT)
