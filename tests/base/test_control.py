"""Control files: every form qmail reads, and that an unreadable file is not an absent one."""
import os

import pytest

from pyqmail.base import control, home
from pyqmail.base.errors import Temporary


@pytest.fixture
def put(tmp_path, monkeypatch):
    monkeypatch.setattr(home, "HOME", str(tmp_path))
    (tmp_path / "control").mkdir()
    return lambda name, data: (tmp_path / "control" / name).write_bytes(data)


@pytest.mark.parametrize("data, line", [
    (b"me.example\n", b"me.example"), (b"me.example", b"me.example"), (b"a \t\nb\n", b"a"), (b" a\n", b" a"),
    (b"", b""), (b"\n", b""), (b"a\0b\n", b"a\0b")])
def test_first_line(put, data, line):
    put("me", data)
    assert control.line("me", b"default") == line


def test_defaults_in_order(put):
    assert control.line("me") is None
    assert control.line("me", None, b"envnoathost") == b"envnoathost"


@pytest.mark.parametrize("data, number", [(b"17\n", 17), (b"17x", 17), (b"x17", 5), (b"", 5), (b" 17", 5), (b"0", 0)])
def test_number(put, data, number):
    put("concurrencylocal", data)
    assert control.number("concurrencylocal", 5) == number


def test_list(put):
    put("locals", b"a.example \t\n\n# comment\n  b\n#\nC.example")
    assert control.lines("locals") == [b"a.example", b"  b", b"C.example"]
    put("locals", b"")
    assert control.lines("locals") == []
    put("locals", b"a.example\0b.example\n\0skipped\nc.example\0#d\n")
    assert control.lines("locals") == [b"a.example", b"b.example", b"c.example", b"#d"]
    assert control.lines("absent") is None


def test_mapping_takes_the_last_of_equals_and_the_first_colon():
    assert control.mapping([b"A.b:x", b"a.B:y:z", b"none", b":all"]) == {b"a.b": b"y:z", b"": b"all"}


def test_a_file_that_cannot_be_read_is_temporary(put, tmp_path):
    os.mkdir(tmp_path / "control/rcpthosts")
    with pytest.raises(Temporary, match="unable to read control/rcpthosts: is a directory"):
        control.lines("rcpthosts")
