"""Constant databases (cdb): D. J. Bernstein's format, read and written with pure-cdb.

    reader = Reader(fd)             maps the file; fd may be closed afterwards
    reader.get(b"key")              the first value, None if there is none; raises Temporary
    write(fd, [(b"key", b"value")]) the whole database, on disk when it returns

A file that is too short or points outside itself raises Temporary everywhere: whoever asks must
wait, not act as if the key were absent. Values are given as they are in the file, keys may repeat.
"""
import io
import mmap
import os
import struct

import cdblib

from . import netio
from .errors import Temporary

LARGEST = (1 << 32) - 1             # positions in the file are 32-bit numbers
PAIR = 8                            # bytes of two such numbers
PAIRS = struct.Struct("<II")
SLOTS = 8                           # of a hash table that find() reads at once
VALUE = 1024                        # bytes of a value that it reads with the key
HEADER = 256 * PAIR


class _Whole:
    """The bytes of a file; a slice that would be cut short by its end is an error."""

    def __init__(self, data):
        self._data = data

    def __len__(self):
        return len(self._data)

    def __getitem__(self, part):
        piece = self._data[part]
        if len(piece) != part.stop - part.start:
            raise EOFError
        return piece


class Reader:
    """An open database. Raises Temporary for a file that is none; OSError if it cannot be mapped."""

    def __init__(self, fd):
        try:
            data = mmap.mmap(fd, 0, access=mmap.ACCESS_READ)
            self._reader = cdblib.Reader(data=_Whole(data))
        except (ValueError, EOFError, OSError) as why:
            raise Temporary("not a constant database") from why

    def get(self, key):
        """The first value of `key`, None if there is none. Raises Temporary for a broken file."""
        try:
            return self._reader.get(key)
        except (EOFError, ArithmeticError, ValueError) as why:
            raise Temporary("broken constant database") from why


def read(path):
    """A Reader of the file at path. Raises OSError if it cannot be opened, Temporary if it is no cdb."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        return Reader(fd)
    finally:
        os.close(fd)


def find(path, key):
    """The first value of `key` in the file at path, None if there is none: for one look-up a fifth of a Reader's cost.
    Raises OSError if it cannot be opened, Temporary if it is no cdb."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        wanted = cdblib.djb_hash(key)
        table, slots = PAIRS.unpack(_exactly(fd, PAIR, (wanted & 255) * PAIR))
        if table < HEADER:
            raise Temporary("not a constant database")
        at, left = (wanted >> 8) % slots if slots else 0, slots
        while left:
            count = min(SLOTS, left, slots - at)
            for found, place in PAIRS.iter_unpack(_exactly(fd, count * PAIR, table + at * PAIR)):
                if not place:
                    return None
                if found == wanted and (value := _value(fd, place, key)) is not None:
                    return value
            at, left = (at + count) % slots, left - count
        return None
    finally:
        os.close(fd)


def _value(fd, place, key):
    """The value of the record at `place`, None if it is not that of `key`."""
    data = os.pread(fd, PAIR + len(key) + VALUE, place)
    size, length = PAIRS.unpack_from(data) if len(data) >= PAIR else (len(key), 0)
    start = PAIR + size
    if size != len(key):
        return None
    if len(data) < start:
        raise Temporary("broken constant database")
    if data[PAIR:start] != key:
        return None
    return data[start:start + length] if start + length <= len(data) else _exactly(fd, length, place + start)


def _exactly(fd, size, place):
    """So many bytes; more than the file has are not even asked for."""
    data = os.pread(fd, size, place) if size <= VALUE or size <= os.fstat(fd).st_size else b""
    if len(data) != size:
        raise Temporary("broken constant database")
    return data


def write(fd, records):
    """Write records, an iterable of (key, value), as a database to fd and sync it. Raises OSError;
    Temporary when it would be larger than the format allows."""
    memory = io.BytesIO()
    with cdblib.Writer(memory) as writer:
        for key, value in records:
            writer.put(key, value)
            if memory.tell() > LARGEST // 2:
                raise Temporary("database too large")
    netio.write_all(fd, memory.getbuffer())
    os.fsync(fd)
