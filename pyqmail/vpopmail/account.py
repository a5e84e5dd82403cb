"""One mail user's account, and its line in vpasswd.

    name:hash:uidfield:flags:comment:directory:quota:clear

Source: vpopmail, as recorded.
"""
from ..base import number
from .errors import Refused


class Account:
    """One mail user. Everything is bytes but uidfield and flags; quota is in its stored form (b"NOQUOTA",
    b"1048576S", …), directory the user's (its Maildir is in it), clear the clear password, b"" if none is kept."""

    __slots__ = ("name", "hash", "uidfield", "flags", "comment", "directory", "quota", "clear")

    def __init__(self, name, hash=b"", uidfield=1, flags=0, comment=b"", directory=b"", quota=b"NOQUOTA", clear=b""):
        self.name, self.hash, self.uidfield, self.flags = name, hash, uidfield, flags
        self.comment, self.directory, self.quota, self.clear = comment, directory, quota, clear

    def __eq__(self, other):
        return isinstance(other, Account) and all(getattr(self, field) == getattr(other, field)
                                                  for field in self.__slots__)

    def __repr__(self):
        return f"Account({', '.join(f'{field}={getattr(self, field)!r}' for field in self.__slots__)})"


def parse(name, data):
    """The Account `name` whose other fields are `data`, the rest of a vpasswd line. Missing fields are empty;
    a comment of ours has no colon, a clear password may have."""
    fields = data.split(b":", 6)
    fields += [b""] * (7 - len(fields))
    hash, uidfield, flags, comment, directory, quota, clear = fields
    return Account(name, hash, number.leading(uidfield)[0] or 0, number.leading(flags)[0] or 0, comment, directory,
                   quota, clear)


def line(account, with_clear=True):
    """The vpasswd line of an account, without its newline. Without clear passwords the eighth field and its colon
    are not there. Raises Refused BAD_CHARACTER for what would be read back as something else."""
    fields = [account.name, account.hash, b"%d" % account.uidfield, b"%d" % account.flags,
              account.comment.replace(b":", b""), account.directory, account.quota]
    if any(b":" in field for field in fields) or any(b"\n" in field for field in (*fields, account.clear)):
        raise Refused("BAD_CHARACTER")
    return b":".join([*fields, account.clear] if with_clear or account.clear else fields)


def split(text):
    """(name, the rest) of a vpasswd line."""
    name, _, rest = text.partition(b":")
    return name, rest


def name_of(text):
    return text.partition(b":")[0]


def changed(text, function, with_clear):
    """The line after function(account)."""
    account = parse(*split(text))
    function(account)
    return line(account, with_clear)


def damaged(data):
    """True if these lines cannot be vpasswd: a NUL, a line without a colon or without a name."""
    if b"\0" in data or data.startswith(b":") or b"\n:" in data:
        return True
    return any(text and b":" not in text for text in data.split(b"\n"))
