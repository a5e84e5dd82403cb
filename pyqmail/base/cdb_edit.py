"""Small changes of a constant database, without making all of it anew.

A database is 256 pairs (position, slots), the records, and 256 hash tables of slots (hash, position), half of them
empty. Look-ups follow the header, so a record may lie anywhere: a new one goes to the end of the file, and one slot
starts to name it. That works on the file that others read, too: an empty slot is the end of a search, so while it is
being filled nobody finds less than before. Changing or removing a record overwrites a slot that others may be
following: do that on a copy. Such a file serves every look-up; a program that reads all records one after the
other, as cdbdump does, does not see those behind the tables.
Source: D. J. Bernstein's description of the format.
"""
import os
import struct

from . import netio
from .errors import Temporary

HEADER = 2048                       # bytes
LARGEST = (1 << 32) - 1
PAIR = struct.Struct("<II")         # two 32-bit numbers, little-endian
SMALLEST = 64                       # slots of a table that was made anew
FULLEST = 3 / 4                     # of the slots of a table; beyond that searches get long


def hash_of(key):
    value = 5381
    for byte in key:
        value = ((value << 5) + value & LARGEST) ^ byte
    return value


class Editor:
    """The database that is open for reading and writing as `fd`. Raises Temporary for what is none, OSError."""

    def __init__(self, fd):
        self._fd = fd
        self._size = os.fstat(fd).st_size
        if self._size < HEADER:
            raise Temporary("not a constant database")

    def append(self, key, value):
        """Put a record in that is not there yet; nobody finds it before fill() of what this returns, which writes 8
        bytes that the file has already. None, and nothing done, if its table has no room."""
        hashed = hash_of(key)
        table, slots = self._table(hashed)
        entries = self._slots(table, slots)
        used = sum(1 for _, place in entries if place)
        if not slots or used + 1 > slots * FULLEST:
            return None
        slot = table + free(entries, hashed) * PAIR.size
        return slot, PAIR.pack(hashed, self._append(record(key, value)))

    def fill(self, slot):
        """From here on the record is found."""
        self._write(*slot)

    def add_with_room(self, key, value):
        """Put a record in that is not there yet. Its table is made anew, with room for more, behind everything
        else. For a copy only: header and table belong together."""
        hashed = hash_of(key)
        table, slots = self._table(hashed)
        entries = [entry for entry in self._slots(table, slots) if entry[1]]
        entries.append((hashed, self._append(record(key, value))))
        grown = [(0, 0)] * max(SMALLEST, 4 * len(entries))
        for entry in entries:
            grown[free(grown, entry[0])] = entry
        place = self._append(b"".join(PAIR.pack(*entry) for entry in grown))
        self._write((hashed & 255) * PAIR.size, PAIR.pack(place, len(grown)))

    def change(self, key, value):
        """Let `key` have another value; None takes it away. For a copy only. False if it is not there. Of several
        records the one that look-ups find: slots are gone through as they do it."""
        hashed = hash_of(key)
        table, slots = self._table(hashed)
        entries = self._slots(table, slots)
        for number in ((number + (hashed >> 8)) % slots for number in range(slots)):
            found, place = entries[number]
            if found == hashed and place and self._key_at(place, len(key)) == key:
                # what is taken away keeps its slot, or others behind it would be lost: with a hash of another table
                entry = (hashed ^ 1, place) if value is None else (hashed, self._append(record(key, value)))
                self._write(table + number * PAIR.size, PAIR.pack(*entry))
                return True
        return False

    def _table(self, hashed):
        """(position, slots) of the table of a hash."""
        place, slots = PAIR.unpack(self._read((hashed & 255) * PAIR.size, PAIR.size))
        if place < HEADER or place + slots * PAIR.size > self._size:
            raise Temporary("broken constant database")
        return place, slots

    def _slots(self, table, slots):
        return list(PAIR.iter_unpack(self._read(table, slots * PAIR.size)))

    def _key_at(self, place, length):
        """The key of the record there, None if it is not of that length."""
        size, _ = PAIR.unpack(self._read(place, PAIR.size))
        return self._read(place + PAIR.size, size) if size == length else None

    def _read(self, place, size):
        data = os.pread(self._fd, size, place) if size <= self._size else b""
        if len(data) != size:
            raise Temporary("broken constant database")
        return data

    def _append(self, data):
        """Write at the end of the file; where that was."""
        place = self._size
        if place + len(data) > LARGEST:
            raise Temporary("database too large")
        os.lseek(self._fd, place, os.SEEK_SET)
        netio.write_all(self._fd, data)
        self._size += len(data)
        return place

    def _write(self, place, data):
        if os.pwrite(self._fd, data, place) != len(data):
            raise Temporary("broken constant database")


def record(key, value):
    return PAIR.pack(len(key), len(value)) + key + value


def free(entries, hashed):
    """The first empty slot for a hash; there is one."""
    slot = (hashed >> 8) % len(entries)
    while entries[slot][1]:
        slot = (slot + 1) % len(entries)
    return slot
