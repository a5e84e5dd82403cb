"""Who may do what over vpopmaild, and what the words of a command mean. All raise Reply.

Each takes the session (daemon.Session). Source: vpopmail's vpopmaild.
"""
from ..base import number
from . import accounts, assign, flags, limits, names
from .daemon_replies import Reply


def domain_of(session, name, place, missing=13):
    """The Domain `name` that the session may administer. missing: the number of the refusal without a name, which has
    the place before. Raises Reply."""
    if not name:
        raise Reply(missing, place - 1)
    found = assign.find(names.lower(name))
    if found is None or not session.may_domain(found):
        raise Reply(11, place)
    return found


def address_of(session, address, place, missing=6, invalid=10, refused=11):
    """(Domain, user) of an address in a domain that the session may administer. The places of the refusals, without an
    address, for one that is none, and for somebody else's domain, are `place` and the two after it. Raises Reply."""
    if not address:
        raise Reply(missing, place)
    try:
        user, host = names.parse(address)
    except names.BadName:
        raise Reply(invalid, place + 1) from None
    found = assign.find(host) if host else None
    if found is None or not session.may_user(found, user):
        raise Reply(refused, place + 2)
    return found, user


def account_of(domain, user, place):
    found = accounts.store(domain).get(user)
    if found is None:
        raise Reply(12, place)
    return found


def permit(session, domain, what, bit, place):
    """A domain administrator is held to the limits of his domain, unless he is above them. Raises Reply."""
    if session.level() == "system" or session.account.flags & flags.V_OVERRIDE:
        return
    if limits.get(domain).numbers[what] & bit:
        raise Reply(9, place)


def page_of(found, words):
    """The part of a list that `page per_page` asks for; all of it if they are no such numbers."""
    page, size = [max(0, number.leading(word)[0] or 0) for word in (*words[:2], b"", b"")[:2]]
    return found[(page - 1) * size:page * size] if page and size else found


def administrators(session, refusal, level=("domain", "system")):
    """Raises the refusal for others: what the table lets in and the command itself does not."""
    if session.level() not in level:
        raise refusal


def parameter(line):
    """(word, value) of an option line: blank, = or : between them."""
    line = line.lstrip(b" =:")
    end = next((place for place, byte in enumerate(line) if byte in b" =:"), len(line))
    return line[:end], line[end + 1:].strip()
