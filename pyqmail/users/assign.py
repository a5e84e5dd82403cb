"""users/assign, the text from which qmail-newu makes users/cdb.

    =LOCAL:user:uid:gid:home:dash:ext:      mail for LOCAL
    +LOC:user:uid:gid:home:dash:pre:        mail for every address that begins with LOC
    .                                       ends the file

Source: qmail-users(5), qmail-newu(8).
"""
from ..base.errors import Temporary


class BadFormat(Temporary):
    """users/assign is not as it must be: nothing is changed."""


def records(text):
    """The records of users/cdb, in order, as a list of (key, data); the list of wildcard characters
    under the empty key comes last. text: the whole file, bytes. Raises BadFormat."""
    found, wildcards, start = [], bytearray(), 0
    while not text.startswith(b".", start):
        end = text.find(b"\n", start)
        if end < 0:
            raise BadFormat("bad format in users/assign")
        key, data = record(text[start:end])
        if key[-1:] != b"\0" and len(key) > 1:
            last = text[start + len(key) - 1]       # case kept: such a wildcard is in the file but is never found
            if last not in wildcards:
                wildcards.append(last)
        found.append((key, data))
        start = end + 1
    found.append((b"", bytes(wildcards)))
    return found


def record(line):
    """(key, data) of one line without its newline. Raises BadFormat."""
    address, *fields = line.split(b":")
    if b"\0" in line or not address or len(fields) < 7:
        raise BadFormat("bad format in users/assign")
    key = b"!" + address[1:].lower()
    if not address.startswith(b"+"):                # any other first byte counts as =
        key += b"\0"
    return key, b"\0".join(fields[:6])
