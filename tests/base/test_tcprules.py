"""tcpserver's rules: compiled, looked up, and compared with the original programs where they are installed."""
import itertools
import os
import shutil
import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyqmail.base import cdb, tcprules
from pyqmail.base.errors import Permanent, Temporary

COMPILED = [
    (b":allow\n", [(b"", b"")]),
    (b"192.0.2.7:deny\n# note:deny\nno colon\n\n:allow", [(b"192.0.2.7", b"D\0"), (b"", b"")]),
    (b'a:allow,A="x",B=yzy,C=""\t \n', [(b"a", b"+A=x\0+B=z\0+C=\0")]),
    (b'10.2-4.:deny,A="1"', [(b"10.%d." % n, b"D\0+A=1\0") for n in (2, 3, 4)]),
    (b"1.2.3.254-300:allow", [(b"1.2.3.254", b""), (b"1.2.3.255", b"")]),
    (b"joe@1.2.3.4-5:deny\n=a-b.test:deny", [(b"joe@1.2.3.4-5", b"D\0"), (b"=a-b.test", b"D\0")]),
    (b"2001:DB8:0::1:deny", [(b"2001:db8::1", b"D\0")]),
    (b"2001:0db8:0::deny", [(b"2001:db8:0:", b"D\0")]),
    (b'::1:allow,RELAYCLIENT=""', [(b"::1", b"+RELAYCLIENT=\0")]),
    (b"::ffff:192.0.2.7:deny\n::FFFF:c000:208:deny", [(b"192.0.2.7", b"D\0"), (b"192.0.2.8", b"D\0")]),
    (b"::1.2.3.4:deny", [(b"::1.2.3.4", b"D\0")]),
]


@pytest.mark.parametrize("source, records", COMPILED)
def test_compile(source, records):
    assert list(tcprules.compile_rules(source)) == records


@pytest.mark.parametrize("line", [
    b":alow", b":allowx", b"a:deny,", b"a:deny,A", b"a:deny,A=", b'a:deny,A="x', b"a:", b"1.2.3.a-4:deny",
    b"1-2-3.:allow", b"10.1-" + b"9" * 5000 + b".:deny",
    b"xyz:1:deny", b"::deny", b"12345::deny", b"1:2::3::4:deny", b"2001::db8::deny", b"1:2:3:4:5:6:7:8::deny",
    b"1.2.3.4:5:deny", b"::1.2.3:deny", b"::1.2.3.4::deny", b"1.2.::deny"])
def test_unclear_rule(line):
    with pytest.raises(Permanent, match="unable to parse this line"):
        list(tcprules.compile_rules(line))


RULES = b"""joe@127.0.0.1:allow,R="first"
joe@=a.b.test:allow,R="name and info"
18.23.0.32:allow,R="second"
=a.b.test:allow,R="name"
127.:allow,R="fourth"
10.1.:deny
=.test:allow,R="suffix"
=:allow,R="named"
2001:db8:0:1::allow,R="six"
:allow,R="third"
"""


@pytest.fixture
def table(tmp_path):
    def make(source):
        with open(tmp_path / "new", "wb") as f:
            cdb.write(f.fileno(), tcprules.compile_rules(source))
        os.rename(tmp_path / "new", tmp_path / "rules.cdb")
        return str(tmp_path / "rules.cdb")
    return make


@pytest.mark.parametrize("client, found", [
    ((b"10.119.75.38",), b"third"), ((b"18.23.0.32",), b"second"), ((b"127.0.0.1", None, b"bill"), b"fourth"),
    ((b"127.0.0.1", None, b"joe"), b"first"), ((b"9.9.9.9", b"a.b.test", b"joe"), b"name and info"),
    ((b"9.9.9.9", b"a.b.test"), b"name"), ((b"9.9.9.9", b"x.b.test"), b"suffix"), ((b"9.9.9.9", b"else"), b"named"),
    ((b"127.9.9.9", b"x.test"), b"fourth"), ((b"2001:db8:0:1::7",), b"six"), ((b"2001:db8:0:2::7",), b"third"),
])
def test_find(table, client, found):
    assert tcprules.Rules(table(RULES)).find(*client) == (True, {b"R": found})


def test_deny_and_nothing_found(table):
    rules = tcprules.Rules(table(b"10.1.:deny\n"))
    assert rules.find(b"10.1.2.3") == (False, {}) and rules.find(b"10.2.2.3") == (True, {})


def test_new_rules_count_at_once(table, tmp_path):
    rules = tcprules.Rules(str(tmp_path / "rules.cdb"))
    assert rules.find(b"10.1.2.3") == (True, {})
    table(b":deny")
    assert rules.find(b"10.1.2.3") == (False, {}) and not rules.mention(b"QMAILQUEUE")
    table(b':allow,QMAILQUEUE="x"')
    assert rules.find(b"10.1.2.3") == (True, {b"QMAILQUEUE": b"x"}) and rules.mention(b"QMAILQUEUE")


def test_broken_rules_are_temporary(tmp_path):
    (tmp_path / "rules.cdb").write_bytes(b"short")
    rules = tcprules.Rules(str(tmp_path / "rules.cdb"))
    for _ in range(2):
        with pytest.raises(Temporary):
            rules.find(b"10.1.2.3")


original = pytest.mark.skipif(not shutil.which("tcprulescheck"), reason="ucspi-tcp is not installed")
PARTS = st.sampled_from([b"1.2.3.4", b"1.2.3.", b"10-12.", b"1.2.3.250-300", b"joe@1.2.3-4.", b"=foo-3.x", b"", b"=",
    b"x-", b"-",
                         b"1-2-3.", b"a.b-c.", b"#1", b"3-4.5-6.", b".1-2", b"07-09."])
INSTRUCTIONS = st.sampled_from([b":allow", b":deny", b'::allow,A="x"', b':deny,B=xyx,C="1"', b":allowx", b":allow,",
    b":allow,A=",
                                b':allow,=""', b":deny ", b":", b"", b':allow,A="x:y",B=/:/', b':allow,A="b c"\t'])


@original
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(PARTS, INSTRUCTIONS).map(b"".join), max_size=4).map(b"\n".join))
def test_same_file_as_the_original(tmp_path, source):
    theirs, ours = tmp_path / "theirs.cdb", tmp_path / "ours.cdb"
    for path in (theirs, ours):
        path.unlink(missing_ok=True)
    status = subprocess.run(["tcprules", theirs, tmp_path / "tmp"], input=source, capture_output=True).returncode
    try:
        with open(ours, "wb") as f:
            cdb.write(f.fileno(), list(tcprules.compile_rules(source)))
        assert status == 0 and ours.read_bytes() == theirs.read_bytes()
    except Permanent:
        # What begins like an IPv6 rule is an error there as well; only whole ones are ours beyond the original.
        assert status == 100


@original
def test_same_verdicts_as_the_original(table):
    path = table(b"\n".join(line for line in RULES.splitlines() if not line.startswith(b"2001")))
    rules = tcprules.Rules(path)
    for ip, host, info in itertools.product([b"127.0.0.1", b"18.23.0.32", b"10.1.0.9", b"9.9.9.9"],
                                            [None, b"a.b.test", b"x.b.test", b"else", b""], [None, b"joe", b"bill"]):
        variables = {"TCPREMOTEIP": ip, "TCPREMOTEHOST": host, "TCPREMOTEINFO": info}
        known = {name: value for name, value in variables.items() if value is not None}
        known["PATH"] = os.environ["PATH"]
        said = subprocess.run(["tcprulescheck", path], capture_output=True, env=known).stdout
        allowed, found = rules.find(ip, host, info)
        assert (b"allow connection" in said) == allowed, (ip, host, info)
        for name, value in found.items():
            assert b"set environment variable %b=%b\n" % (name, value) in said, (ip, host, info, said)
