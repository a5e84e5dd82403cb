"""One record more in a constant database, without making all of it anew.

A database is 256 pairs (position, slots), the records, and 256 hash tables. A record that is put behind the others
changes one table; the other tables are copied as they are. That is a hundred times faster for a large one.
Source: D. J. Bernstein's description of the format.
"""
import struct

from .errors import Temporary

HEADER = 2048                       # bytes; 256 pairs of 32-bit numbers, little-endian
LARGEST = (1 << 32) - 1
PAIR = struct.Struct("<II")


def hash_of(key):
    value = 5381
    for byte in key:
        value = ((value << 5) + value & LARGEST) ^ byte
    return value


def appended(data, key, value):
    """The database `data` (bytes) with the record at its end, as a list of pieces. Raises Temporary if `data` is
    no database, or would get too large. A key that is there already is not replaced: the first value stays."""
    if len(data) < HEADER:
        raise Temporary("not a constant database")
    tables = [PAIR.unpack_from(data, 8 * number) for number in range(256)]
    end = min((place for place, slots in tables if slots), default=len(data))
    if end < HEADER or any(place + 8 * slots > len(data) for place, slots in tables if slots):
        raise Temporary("broken constant database")
    record = PAIR.pack(len(key), len(value)) + key + value
    hashed = hash_of(key)
    pieces = [data[place:place + 8 * slots] for place, slots in tables]
    pieces[hashed & 255] = table_with(pieces[hashed & 255], hashed, end)
    header, place = [], end + len(record)
    for piece in pieces:
        header.append(PAIR.pack(place, len(piece) // 8))
        place += len(piece)
    if place > LARGEST:
        raise Temporary("database too large")
    return [*header, memoryview(data)[HEADER:end], record, *pieces]


def table_with(table, hashed, place):
    """A hash table with one entry more, twice as many slots as entries, in the order they came."""
    entries = [pair for pair in PAIR.iter_unpack(table) if pair[1]]
    entries.sort(key=lambda pair: pair[1])      # the first record of a key must be found first
    entries.append((hashed, place))
    slots = 2 * len(entries)
    found = [(0, 0)] * slots
    for entry in entries:
        slot = (entry[0] >> 8) % slots
        while found[slot][1]:
            slot = (slot + 1) % slots
        found[slot] = entry
    return b"".join(PAIR.pack(*entry) for entry in found)
