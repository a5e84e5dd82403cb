"""A constant database that is changed in place, or on a copy, answers as one that was made anew."""
import os
import random

import pytest
from hypothesis import given, settings, strategies

from pyqmail.base import cdb, cdb_edit
from pyqmail.base.errors import Temporary

NAMES = strategies.sampled_from([b"n%d" % number for number in range(12)])


def database(path, records):
    with open(path, "w+b") as f:
        cdb.write(f.fileno(), records)
    return str(path)


class Open:
    def __init__(self, path):
        self._path = path

    def __enter__(self):
        self._fd = os.open(self._path, os.O_RDWR)
        return cdb_edit.Editor(self._fd)

    def __exit__(self, *problem):
        os.close(self._fd)


def add(path, key, value):
    """As the embedded back end does; True if it was done in place."""
    with Open(path) as editor:
        slot = editor.append(key, value)
        if slot:
            editor.fill(slot)
            return True
        editor.add_with_room(key, value)
        return False


def test_hashes_are_those_of_the_library():
    from cdblib import djb_hash
    assert all(cdb_edit.hash_of(key) == djb_hash(key) for key in (b"", b"a", b"postmaster", bytes(range(256))))


def test_of_several_records_the_one_that_look_ups_find(tmp_path):
    """Its slot is the last of four, so that the second record's is the first."""
    key = next(key for key in (b"n%d" % number for number in range(100)) if cdb_edit.hash_of(key) >> 8 & 3 == 3)
    path = database(tmp_path / "x", [(key, b"1"), (key, b"2")])
    with Open(path) as editor:
        assert editor.change(key, b"3")
    assert cdb.find(path, key) == b"3"
    with Open(path) as editor:
        assert editor.change(key, None)
    assert cdb.find(path, key) == b"2"


@settings(max_examples=40, deadline=None)
@given(strategies.lists(strategies.tuples(NAMES, strategies.one_of(strategies.none(), strategies.binary(max_size=20)))))
def test_as_a_dictionary(tmp_path_factory, changes):
    path = database(tmp_path_factory.mktemp("cdb") / "x", [(b"postmaster", b"1")])
    model = {b"postmaster": b"1"}
    for key, value in changes:
        if key in model or value is None:
            with Open(path) as editor:
                assert editor.change(key, value) == (key in model)
            if value is None:
                model.pop(key, None)
        else:
            add(path, key, value)
        if value is not None:
            model[key] = value
    assert {key: cdb.find(path, key) for key in [*model, b"n0", b"n11", b"none"]} == {
        key: model.get(key) for key in [*model, b"n0", b"n11", b"none"]}


def test_growing_far_beyond_what_it_was_made_for(tmp_path):
    path = database(tmp_path / "x", [(b"user%d" % number, b"%d" % number) for number in range(1000)])
    done = [add(path, b"user%d" % number, b"%d" % number) for number in range(1000, 5000)]
    assert all(cdb.find(path, b"user%d" % number) == b"%d" % number for number in range(5000))
    assert cdb.find(path, b"nobody") is None and done.count(True) > done.count(False) > 0
    reader = cdb.read(path)
    assert all(reader.get(b"user%d" % number) == b"%d" % number for number in range(0, 5000, 97))


def test_while_a_record_is_put_in_nobody_finds_less(tmp_path):
    """Whatever part of a change is in the file already: all old records are found, the new one as it is or not at all."""
    path = database(tmp_path / "x", [(b"user%d" % number, b"%d" % number) for number in range(300)])
    for number in range(100):
        before = (tmp_path / "x").read_bytes()
        new = b"new%d" % number
        if add(path, new, b"value"):
            break
    after = (tmp_path / "x").read_bytes()
    changed = [place for place in range(len(before)) if before[place] != after[place]]
    assert len(changed) <= 8 and max(changed) - min(changed) < 8
    for seed in range(1 << len(changed)):
        data = bytearray(before) + after[len(before):]
        for number, place in enumerate(changed):
            if seed >> number & 1:
                data[place] = after[place]
        (tmp_path / "y").write_bytes(data)
        assert all(cdb.find(str(tmp_path / "y"), b"user%d" % number) == b"%d" % number for number in range(0, 300, 7))
        try:
            assert cdb.find(str(tmp_path / "y"), new) in (None, b"value")
        except Temporary:
            pass


@pytest.mark.parametrize("size", [0, 100, 2047, 2048, 2060])
def test_what_is_no_database(tmp_path, size):
    path = database(tmp_path / "x", [(b"a", b"1")])
    os.truncate(path, size)
    with pytest.raises(Temporary):
        for key in (b"a", b"b"):
            add(path, key, b"2")


def test_garbage_is_temporary(tmp_path):
    rest = random.Random(1)
    for _ in range(50):
        (tmp_path / "x").write_bytes(rest.randbytes(5000))
        with pytest.raises(Temporary):
            add(str(tmp_path / "x"), b"a", b"2")
