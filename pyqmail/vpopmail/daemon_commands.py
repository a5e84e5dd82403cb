"""What vpopmaild's commands do: domains, users, aliases, limits, the IP map.

Each takes the session (daemon.Session) and the rest of its line, and returns None for a plain +OK or the lines of
an answer. Refusals are Reply, or what the functions below the commands raise.
"""
import os

from ..base import maildirsize
from . import (accounts, assign, daemon_files, domains, flags, home, ipmap, limits, names, passwords, quotas, userdir,
               users, valias)
from .daemon_replies import Reply
from .errors import Refused
from .place import Inside, within

CREATE, MODIFY, DELETE = 1, 2, 4    # bits of a limits file's permissions: what is not allowed
FLAGS = (
    (b"no_password_change", flags.NO_PASSWD_CHNG), (b"no_pop", flags.NO_POP), (b"no_webmail", flags.NO_WEBMAIL),
    (b"no_imap", flags.NO_IMAP), (b"bounce_mail", flags.BOUNCE_MAIL), (b"no_relay", flags.NO_RELAY),
    (b"no_dialup", flags.NO_DIALUP), (b"user_flag_0", flags.V_USER0), (b"user_flag_1", flags.V_USER1),
    (b"user_flag_2", flags.V_USER2), (b"user_flag_3", flags.V_USER3), (b"no_smtp", flags.NO_SMTP),
    (b"domain_admin_privileges", flags.QA_ADMIN), (b"override_domain_limits", flags.V_OVERRIDE),
    (b"no_spamassassin", flags.NO_SPAMASSASSIN), (b"delete_spam", flags.DELETE_SPAM),
    (b"no_maildrop", flags.NO_MAILDROP), (b"system_admin_privileges", flags.SA_ADMIN),
)
BY_SYSTEM = flags.SA_ADMIN | flags.SA_EXPERT | flags.V_OVERRIDE     # only a system administrator gives these
#  name in a limits file     name here
NUMBERS = {b"maxpopaccounts": b"max_popaccounts", b"maxaliases": b"max_aliases", b"maxforwards": b"max_forwards",
           b"maxautoresponders": b"max_autoresponders", b"maxmailinglists": b"max_mailinglists",
           b"quota": b"disk_quota", b"maxmsgcount": b"max_msgcount"}
PAGE = 1000                         # entries a page may have


def vpophome():
    return home.vpophome()


# ---------------------------------------------------------------- who and where

def domain_of(session, name, place):
    """The Domain `name` that the session may administer. Raises Reply."""
    found = assign.find(names.lower(name)) if name else None
    if found is None or not session.may_domain(found):
        raise Reply(11, place, b"Not Authorized for domain")
    return found


def user_of(session, address, place, own=False):
    """(Domain, user) of an address in a domain that the session may administer; own: or the session's own address."""
    if not address:
        raise Reply(6, place, b"Email Address Required")
    user, host = names.parse(address)
    found = assign.find(host) if host else None
    if found is None or not (session.may_user(found, user) if own else session.may_domain(found)):
        raise Reply(11, place, b"Not Authorized for domain")
    return found, user


def account_of(domain, user, place):
    found = accounts.store(domain).get(user)
    if found is None:
        raise Reply(12, place, b"User does not exist")
    return found


def system(session, place):
    if session.level() != "system":
        raise Reply(9, place, b"Not Authorized")


def permit(session, domain, what, bit, place):
    """A domain administrator is held to the limits of his domain, unless he is above them. Raises Reply."""
    if session.level() == "system" or session.account.flags & flags.V_OVERRIDE:
        return
    if limits.get(domain).numbers[what] & bit:
        raise Reply(9, place, b"Not Authorized")


def page_of(found, words, place):
    """The part of a list that `page per_page` asks for. Raises Reply."""
    if not words:
        return found
    if len(words) != 2 or not all(word.isdigit() and 0 < int(word) <= 10**9 for word in words):
        raise Reply(14, place, b"Invalid page")
    page, size = int(words[0]), min(int(words[1]), PAGE)
    return found[(page - 1) * size:page * size]


# ---------------------------------------------------------------- users

def add_user(session, rest):
    address, _, clear = rest.partition(b" ")
    domain, user = user_of(session, address, 301)
    if not clear:
        raise Reply(7, 302, b"Password Required")
    permit(session, domain, b"perm_account", CREATE, 303)
    users.add(domain, user, clear)


def del_user(session, rest):
    domain, user = user_of(session, rest, 401)
    permit(session, domain, b"perm_account", DELETE, 402)
    if account_of(domain, user, 403).flags & flags.SA_ADMIN:
        system(session, 404)
    users.delete(domain, user)


def mod_user(session, rest):
    domain, user = user_of(session, rest, 501, own=True)
    account = account_of(domain, user, 502)
    if not session.may_domain(domain):
        allowed = (b"comment",) if limits.effective(domain, account) & flags.NO_PASSWD_CHNG else (
            b"comment", b"clear_text_password")
    else:
        permit(session, domain, b"perm_account", MODIFY, 503)
        allowed = None
    if account.flags & flags.SA_ADMIN:
        if (domain.real, user) != (session.domain.real, session.user):
            system(session, 504)
    changes = [change_of(session, domain, line, allowed) for line in session.ask_lines() if line.strip()]

    def change(stored):
        for each in changes:
            each(stored)
    accounts.store(domain).change(user, change)
    quotas.apply(domain, accounts.store(domain).get(user))
    users.write_sqwebmail(domain, accounts.store(domain).get(user))


def change_of(session, domain, line, allowed):
    """A function that changes an account as one line of mod_user says. Raises Reply, Refused."""
    word, _, value = line.strip().partition(b" ")
    word, value = word.lower(), value.strip()
    if allowed is not None and word not in allowed:
        raise Reply(9, 505, b"Not Authorized")
    if word == b"comment":
        users.check_fields(comment=value)
        return lambda account: setattr(account, "comment", value.replace(b":", b""))
    if word == b"clear_text_password":
        users.check_fields(clear=value)
        hashed, kept = passwords.make(value), passwords.kept(value)
        return lambda account: (setattr(account, "hash", hashed), setattr(account, "clear", kept))
    if word == b"encrypted_password":
        users.check_fields(hash=value)
        return lambda account: (setattr(account, "hash", value), setattr(account, "clear", b""))
    if word == b"quota":
        permit(session, domain, b"perm_quota", MODIFY, 506)
        quota = quotas.normal(value)
        return lambda account: setattr(account, "quota", quota)
    if word == b"clear_all_flags":
        kept = 0 if session.level() == "system" else BY_SYSTEM
        return lambda account: setattr(account, "flags", account.flags & kept)
    flag = dict(FLAGS).get(word)
    if flag is None or value not in (b"0", b"1"):
        raise Reply(15, 507, b"Invalid option")
    if flag & BY_SYSTEM:
        system(session, 508)
    return lambda account: setattr(account, "flags", account.flags | flag if value == b"1" else account.flags & ~flag)


def user_info(session, rest):
    domain, user = user_of(session, rest, 601, own=True)
    return session.describe(account_of(domain, user, 605))


def list_users(session, rest):
    name, *words = rest.split()[:3] or [b""]
    found = page_of(accounts.store(domain_of(session, name, 2101)).all(), words, 2102)
    return [line for account in found for line in (*session.describe(account), b"")]


def user_count(session, rest):
    return [b"count %d" % accounts.store(domain_of(session, rest, 2001)).count()]


def get_lastauth(session, rest):
    domain, user = user_of(session, rest, 3701, own=True)
    last = userdir.last(domain, account_of(domain, user, 3702))
    return [b"time %d" % (last[0] if last else 0), b"ip " + (last[1] if last else b"")]


def get_user_size(session, rest):
    domain, user = user_of(session, rest, 3601, own=True)
    return sizes(measure(domain, account_of(domain, user, 3602)))


def get_domain_size(session, rest):
    domain = domain_of(session, rest, 3501)
    found = [measure(domain, account) for account in accounts.store(domain).all()]
    return sizes(maildirsize.Usage(sum(each.bytes for each in found), sum(each.count for each in found)))


def measure(domain, account):
    with Inside(domain):
        directory = within(domain, userdir.directory_of(domain, account)) + b"/Maildir"
        return maildirsize.count(directory) if os.path.isdir(directory) else maildirsize.Usage()


def sizes(usage):
    return [b"size %d" % usage.bytes, b"count %d" % usage.count]


# ---------------------------------------------------------------- domains

def add_domain(session, rest):
    system(session, 701)
    name, _, clear = rest.partition(b" ")
    name = names.lower(name)
    if not clear:
        raise Reply(7, 702, b"Password Required")
    try:
        domains.check_new(name)
    except Refused as why:
        if why.name != "DOMAIN_ALREADY_EXISTS":
            raise
        raise Reply(16, 703, b"Domain already exists") from None
    users.check_fields(clear)
    domain = domains.add(name, home.vpophome(), *home.ids())
    users.add(domain, b"postmaster", clear, b"Postmaster")


def add_alias_domain(session, rest):
    system(session, 801)
    words = rest.split()
    if len(words) != 2:
        raise Reply(17, 802, b"Domain and alias required")
    real, alias = domain_of(session, words[0], 803), names.lower(words[1])
    if assign.find(alias) is not None:
        raise Reply(16, 804, b"Domain already exists")
    domains.add_alias(alias, real)


def del_domain(session, rest):
    system(session, 901)
    domains.delete(domain_of(session, rest, 902), lambda text: None)


def dom_info(session, rest):
    system(session, 1001)
    domain = domain_of(session, rest, 1002)
    aliases = [each.name for each in assign.everyone() if each.alias and each.real == domain.real]
    return [b"domain " + domain.real, b"uid %d" % domain.uid, b"gid %d" % domain.gid, b"dir " + domain.directory,
            b"users %d" % domains.user_count(domain), *(b"alias " + name for name in aliases)]


def list_domains(session, rest):
    system(session, 1701)
    return page_of([b"%b %b" % (each.real, each.name) for each in assign.everyone()], rest.split(), 1702)


def find_domain(session, rest):
    """The page of list_domains on which a domain stands."""
    system(session, 1801)
    name, *words = rest.split()[:2] or [b""]
    size = min(int(words[0]), PAGE) if words and words[0].isdigit() and int(words[0]) else PAGE
    known = [each.name for each in assign.everyone()]
    if names.lower(name) not in known:
        raise Reply(13, 1802, b"Domain does not exist")
    return [b"page %d" % (known.index(names.lower(name)) // size + 1)]


def domain_count(session, rest):
    system(session, 1901)
    return [b"count %d" % len(assign.everyone())]


# ---------------------------------------------------------------- limits

def get_limits(session, rest):
    found = limits.get(domain_of(session, rest, 2201))
    lines = [b"%b %d" % (NUMBERS.get(name, name), found.numbers[name]) for name in (*limits.MAXIMA, *limits.QUOTAS)]
    lines += [b"%b %d" % (word, bool(found.flags & flag)) for word, flag in limits.WORDS]
    lines += [b"%b %d" % (name, found.numbers[name]) for name in limits.PERMISSIONS]
    return [*lines, lines[-1]]      # twice, as clients know it


def set_limits(session, rest):
    system(session, 2301)
    domain = domain_of(session, rest, 2302)
    found, words = limits.get(domain), dict(limits.WORDS)
    numbers = {shown: name for name, shown in NUMBERS.items()} | {name: name for name in found.numbers}
    for line in session.ask_lines():
        word, _, value = line.strip().partition(b" ")
        if not value.strip().removeprefix(b"-").isdigit() or word not in words and word not in numbers:
            raise Reply(15, 2303, b"Invalid option")
        number = int(value)
        if word in numbers:
            found.numbers[numbers[word]] = number
        else:
            found.flags = found.flags | words[word] if number else found.flags & ~words[word]
    limits.put(domain, found)


def del_limits(session, rest):
    system(session, 2401)
    limits.delete(domain_of(session, rest, 2402))


# ---------------------------------------------------------------- aliases

def alias_of(session, rest, place):
    """(Domain, user, line) for the alias commands; the line is always an address, never a program or a file."""
    words = rest.split()
    if len(words) != 2:
        raise Reply(6, place, b"Email Address Required")
    domain, user = user_of(session, words[0], place + 1)
    return domain, user, words[1].removeprefix(b"&")


def add_alias(session, rest):
    domain, user, target = alias_of(session, rest, 2501)
    permit(session, domain, b"perm_alias", CREATE, 2503)
    if not names.valid_user(user) or b"@" not in target or target.startswith((b"|", b"/", b".")):
        raise Reply(10, 2504, b"Invalid Email Address")
    names.parse(target)
    valias.insert(domain, user, b"&" + target)


def remove_alias(session, rest):
    domain, user, target = alias_of(session, rest, 2601)
    permit(session, domain, b"perm_alias", DELETE, 2603)
    lines = valias.lines(domain, user)
    left = [line for line in lines if line.removeprefix(b"&") != target]
    if left == lines:
        raise Reply(18, 2604, b"Alias does not exist")
    valias.delete(domain, user)
    for line in left:
        valias.insert(domain, user, line)


def delete_alias(session, rest):
    domain, user = user_of(session, rest, 2701)
    permit(session, domain, b"perm_alias", DELETE, 2702)
    valias.delete(domain, user)


def list_alias(session, rest):
    domain = domain_of(session, rest, 2804)
    return [b"%b@%b %b" % (user, domain.real, line.removeprefix(b"&"))
            for user in valias.users(domain) for line in valias.lines(domain, user)]


# ---------------------------------------------------------------- IP map, lists

def get_ip_map(session, rest):
    found = ipmap.domain(rest)
    if found is None:
        raise Reply(0, 3003, b"error")
    return [b"%b %b" % (rest, found)]


def change_ip_map(session, rest, change, place):
    system(session, place)
    words = rest.split()
    if len(words) != 2:
        raise Reply(17, place + 1, b"IP and domain required")
    change(words[0], domain_of(session, words[1], place + 2).name)


def add_ip_map(session, rest):
    change_ip_map(session, rest, ipmap.add, 3101)


def del_ip_map(session, rest):
    change_ip_map(session, rest, ipmap.delete, 3201)


def show_ip_map(session, rest):
    system(session, 3301)
    return [b"%b %b" % pair for pair in ipmap.entries()]


def mailing_list(session, rest):
    raise Reply(0, 3801, b"mailing lists need ezmlm, which is not installed")


ALL = {work.__name__.encode(): work for work in (
    user_info, list_domains, find_domain, domain_count, add_alias_domain, add_domain, del_domain, dom_info, get_limits,
    set_limits, del_limits, get_domain_size, add_user, del_user, user_count, list_users, mod_user, get_lastauth,
    get_user_size, add_alias, delete_alias, list_alias, remove_alias, get_ip_map, add_ip_map, del_ip_map, show_ip_map)}
ALL |= {name: mailing_list for name in (b"list_lists", b"add_list", b"del_list", b"mod_list")}
ALL |= daemon_files.ALL
