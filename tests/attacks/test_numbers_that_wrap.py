"""Numbers beyond 32 or 64 bits (CVE-2005-1513 to -1515): in C they came out small, negative or zero.

The one that would hurt most is a uid: 4294967296 cut to 32 bits is root.
"""
import os

import pytest

from pyqmail.base import number, prot
from pyqmail.base.received import Client
from pyqmail.spawn import orders, wire
from pyqmail.users import codes, lookup

BIG = [1 << 31, (1 << 32) - 1, 1 << 32, (1 << 32) + 1, 1 << 63, 1 << 64, (1 << 64) + 1, 10 ** 40]
NEVER_A_UID = [b"0", b"00", b"-1", b"-4294967295", b"+0", b"0x64", b"", b" 5", b"4294967295", b"4294967296",
               b"4294967297",
               b"18446744073709551616", b"18446744073709551617", b"9" * 5000]


@pytest.mark.parametrize("uid", NEVER_A_UID)
def test_no_uid_of_users_cdb_becomes_root_or_stays_root(uid):
    with pytest.raises(lookup.Undecided) as why:
        lookup.controller(b"joe\0%b\0005\0/home\0-\0ext\0" % uid)
    assert why.value.code in (codes.ROOT, codes.BUG)


@pytest.mark.parametrize("gid", [b"4294967295", b"4294967296", b"9" * 5000])
def test_no_gid_leaves_the_group_as_it_was(gid):
    with pytest.raises(lookup.Undecided):
        lookup.controller(b"joe\0005\0%b\0/home\0-\0ext\0" % gid)


@pytest.mark.root
@pytest.mark.parametrize("uid, gid", [((1 << 32) - 1, 65534), (1 << 32, 65534), (-1, 65534), (-5, 65534),
                                      (65534, (1 << 32) - 1), (65534, 1 << 32), (65534, -1)])
def test_no_number_lets_a_process_go_on_as_root(uid, gid):
    """-1 means "leave it as it is" to the kernel."""
    pid = os.fork()
    if not pid:
        try:
            prot.become(uid, gid)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) in (1, prot.HALF_PRIVILEGED)


@pytest.mark.parametrize("value", BIG)
def test_limits_are_what_they_say(value):
    assert Client({b"DATABYTES": b"%d" % value}).databytes >= min(value, 1 << 62)
    assert number.leading(b"%d" % value)[0] >= min(value, (1 << 32) - 1)


def test_a_huge_databytes_is_no_small_one(smtpd):
    connection = smtpd({"databytes": "4294967297\n"})       # 1 in 32 bits
    connection.opened()
    connection.hears(b"Subject: more than one byte\r\n.\r\n")
    assert connection.ours.recv(4096).startswith(b"250 ok ")
    assert len(connection.queued) == 1


@pytest.mark.parametrize("delnum", [120, 121, 255])
def test_a_delivery_number_beyond_the_limit(delnum):
    with pytest.raises(orders.Refused) as why:
        orders.check(wire.Order(delnum, b"0/1", b"", b"a@b"), wire.HELLO, {})
    assert why.value.report == orders.NUMBER_TOO_BIG
