"""What vpopmaild's commands do: domains, users, aliases, limits, the IP map.

Each takes the session (daemon.Session) and the rest of its line, and returns None for a plain +OK or the lines of
an answer. Refusals are Reply, or what the functions below the commands raise.
"""
import os

from ..base import maildirsize, number
from . import (accounts, assign, daemon_files, domains, files, flags, home, ipmap, limits, names, passwords, quotas,
               userdir, users, valias)
from .daemon_access import account_of, address_of, administrators, domain_of, page_of, parameter, permit
from .daemon_replies import Plain, Reply, Silent
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
SETTABLE = dict(FLAGS) | {b"system_expert_privileges": flags.SA_EXPERT}
BY_EVERYBODY = flags.V_USER2 | flags.V_USER3 | flags.NO_SPAMASSASSIN | flags.DELETE_SPAM | flags.NO_MAILDROP
BY_SYSTEM = flags.SA_ADMIN | flags.SA_EXPERT | flags.V_OVERRIDE     # only a system administrator gives these
#  name in a limits file     name here
NUMBERS = {b"maxpopaccounts": b"max_popaccounts", b"maxaliases": b"max_aliases", b"maxforwards": b"max_forwards",
           b"maxautoresponders": b"max_autoresponders", b"maxmailinglists": b"max_mailinglists",
           b"quota": b"disk_quota", b"maxmsgcount": b"max_msgcount"}


def vpophome():
    return home.vpophome()


# ---------------------------------------------------------------- users

def add_user(session, rest):
    address, _, clear = rest.partition(b" ")
    domain, user = address_of(session, address, 302)
    if not clear:
        raise Reply(7, 305)
    permit(session, domain, b"perm_account", CREATE, 301)
    users.add(domain, user, clear)


def del_user(session, rest):
    domain, user = address_of(session, rest, 402, refused=9)
    permit(session, domain, b"perm_account", DELETE, 401)
    account = accounts.store(domain).get(user)
    if account and account.flags & flags.SA_ADMIN and session.level() != "system":
        raise Reply(9, 404)
    users.delete(domain, user)


def mod_user(session, rest):
    try:
        domain, user = address_of(session, rest, 501)
    except Reply as why:
        if why.number == 11 and session.level() == "user":
            why.place = 504
        raise
    account = accounts.store(domain).get(user)
    if account is None:
        session.send(Reply(12, 505).line())
        session.lines(last=lambda line: line == b".")
        raise Silent
    if session.may_domain(domain):
        permit(session, domain, b"perm_account", MODIFY, 503)
    if account.flags & flags.SA_ADMIN and (domain.real, user) != (session.domain.real, session.user) and (
            session.level() != "system"):
        raise Reply(9, 504)
    changes = [change for line in session.ask_lines() if (change := change_of(session, domain, account, line))]

    def change(stored):
        for each in changes:
            each(stored)
    store = accounts.store(domain)
    store.change(user, change)
    if store.get(user).quota != account.quota:
        quotas.apply(domain, store.get(user))
    users.write_sqwebmail(domain, store.get(user))


def change_of(session, domain, account, line):
    """A function that changes an account as one line of mod_user says; None for a line that says nothing, or what the
    session may not change: clients send everything they know. Raises Refused for what no record can hold."""
    word, value = parameter(line)
    level = session.level()
    override = level == "system" or level == "domain" and bool(session.account.flags & flags.V_OVERRIDE)
    if not value:
        return None
    if word == b"comment":
        users.check_fields(comment=value)
        return lambda stored: setattr(stored, "comment", value.replace(b":", b""))
    if word in (b"clear_text_password", b"encrypted_password"):
        if level == "user" and limits.effective(domain, account) & flags.NO_PASSWD_CHNG:
            return None
        clear = value if word == b"clear_text_password" else b""
        users.check_fields(clear=clear, hash=b"" if clear else value)
        hashed, kept = (passwords.make(clear), passwords.kept(clear)) if clear else (value, b"")
        return lambda stored: (setattr(stored, "hash", hashed), setattr(stored, "clear", kept))
    if word == b"quota" and override:
        quota = quotas.normal(value)
        return lambda stored: setattr(stored, "quota", quota)
    if word == b"clear_all_flags" and override:
        kept_flags = 0 if level == "system" else BY_SYSTEM
        return lambda stored: setattr(stored, "flags", stored.flags & kept_flags)
    flag = SETTABLE.get(word, 0)
    allowed = (level == "system" if flag & BY_SYSTEM else level != "user" if flag & flags.QA_ADMIN
               else override or flag & BY_EVERYBODY)
    if not flag or not allowed or value not in (b"0", b"1"):
        return None
    return lambda stored: setattr(stored, "flags", stored.flags | flag if value == b"1" else stored.flags & ~flag)


def user_info(session, rest):
    domain, user = address_of(session, rest, 602)
    return session.describe(account_of(domain, user, 605))


def list_users(session, rest):
    name, *words = rest.split()[:3] or [b""]
    found = page_of(accounts.store(domain_of(session, name, 2703, missing=6)).all(), words)
    return [line for account in found for line in (*session.describe(account), b"")]


def user_count(session, rest):
    return [b"count %d" % accounts.store(domain_of(session, rest, 2603)).count()]


def get_lastauth(session, rest):
    administrators(session, Reply(9, 3701))
    domain, user = address_of(session, rest, 3702)
    last = users.last_login(domain, account_of(domain, user, 3705))
    return [b"time %d" % (last[0] if last else 0), b"ip " + (last[1] if last else b"")]


def get_user_size(session, rest):
    administrators(session, Plain(3801, b"not authorized"))
    texts = {6: b"email_address required", 10: b"invalid email address", 11: b"not authorized for domain",
             12: b"user does not exist"}
    try:
        domain, user = address_of(session, rest, 3802)
        return sizes(measure(domain, account_of(domain, user, 3805)))
    except Reply as why:
        raise Plain(why.place, texts[why.number]) from None


def get_domain_size(session, rest):
    try:
        domain = domain_of(session, rest, 3903)
    except Reply as why:
        raise Plain(why.place, b"domain required" if why.number == 13 else b"not authorized for domain") from None
    found = [(account.name, measure(domain, account)) for account in accounts.store(domain).all()]
    lines = [line for user, usage in found for line in (b"user %b@%b" % (user, domain.real), *sizes(usage))]
    total = maildirsize.Usage(sum(each.bytes for _, each in found), sum(each.count for _, each in found))
    return [*lines, b"domain " + domain.real, *sizes(total)]


def measure(domain, account):
    with Inside(domain):
        directory = within(domain, userdir.directory_of(domain, account)) + b"/Maildir"
        return maildirsize.count(directory) if os.path.isdir(directory) else maildirsize.Usage()


def sizes(usage):
    return [b"size %d" % usage.bytes, b"count %d" % usage.count]


# ---------------------------------------------------------------- domains

def add_domain(session, rest):
    name, _, clear = rest.partition(b" ")
    name = names.lower(name)
    if not name:
        raise Reply(13, 802)
    if not clear:
        raise Reply(7, 803)
    users.check_fields(clear)
    domain = domains.add(name, home.vpophome(), *home.ids())
    users.add(domain, b"postmaster", clear, b"Postmaster")


def add_alias_domain(session, rest):
    name, _, alias = rest.partition(b" ")
    if not name:
        raise Reply(13, 1202)
    if not alias.strip():
        raise Reply(14, 1203)
    alias = names.lower(alias.strip())
    if assign.find(alias) is not None:
        raise Refused("DOMAIN_ALREADY_EXISTS")
    domains.add_alias(alias, known_domain(name))


def known_domain(name):
    """The Domain of that name. Raises Refused."""
    found = assign.find(names.lower(name))
    if found is None:
        raise Refused("DOMAIN_DOES_NOT_EXIST")
    return found


def del_domain(session, rest):
    if not rest:
        raise Reply(13, 1302)
    domains.delete(known_domain(rest), lambda text: None)


def dom_info(session, rest):
    if not rest:
        raise Reply(13, 1402)
    domain = known_domain(rest)
    return [b"domain " + domain.real, b"path " + domain.directory, b"uid %d" % domain.uid, b"gid %d" % domain.gid,
            *(b"alias " + name for name in assign.aliases(domain.real))]


def list_domains(session, rest):
    return page_of([b"%b %b" % (each.real, each.name) for each in assign.everyone()], rest.split())


def find_domain(session, rest):
    """The page of list_domains on which a domain stands; nothing if it stands nowhere."""
    name, *words = rest.split()[:2] or [b""]
    if not name:
        raise Reply(13, 2402)
    known = [each.name for each in assign.everyone()]
    size = max(1, number.leading(words[0])[0] or 1) if words else 1
    return [b"page %d" % (known.index(name) // size + 1)] if name in known else []


def domain_count(session, rest):
    return [b"count %d" % len(assign.everyone())]


# ---------------------------------------------------------------- limits

def get_limits(session, rest):
    administrators(session, Reply(9, 3401), ("system",))
    found = limits.get(domain_of(session, rest, 3403))
    lines = [b"%b %d" % (NUMBERS.get(name, name), found.numbers[name]) for name in (*limits.MAXIMA, *limits.QUOTAS)]
    lines += [b"%b %d" % (word, bool(found.flags & flag)) for word, flag in limits.WORDS]
    lines += [b"%b %d" % (name, found.numbers[name]) for name in limits.PERMISSIONS]
    return [*lines, lines[-1]]      # twice, as clients know it


def set_limits(session, rest):
    domain = domain_of(session, rest, 3503)
    found, words = limits.get(domain), dict(limits.WORDS)
    numbers = {NUMBERS.get(name, name): name for name in found.numbers}
    warnings = []
    for line in session.ask_lines():
        word, value = parameter(line)
        if word and not value:
            warnings.append(b"  Warning: missing value")
        elif word in numbers:
            found.numbers[numbers[word]] = limits.signed(value)
        elif word in words:
            found.flags = found.flags | words[word] if limits.signed(value) else found.flags & ~words[word]
        elif word:
            warnings.append(b"  Warning: invalid option")
    limits.put(domain, found)
    session.send(*warnings)


def del_limits(session, rest):
    limits.delete(domain_of(session, rest, 3603))


# ---------------------------------------------------------------- aliases

def alias_of(session, rest, place):
    """(Domain, user, line) of `user@domain line`; without a line b"". Raises Reply."""
    address, _, line = rest.partition(b" ")
    domain, user = address_of(session, address, place, missing=14, invalid=15)
    return domain, user, line.strip().removeprefix(b"&")


def add_alias(session, rest):
    """The line is always an address, never a program or a file."""
    domain, user, target = alias_of(session, rest, 902)
    permit(session, domain, b"perm_alias", CREATE, 901)
    if not target:
        raise Reply(16, 906)
    try:
        names.parse(target)
    except names.BadName:
        raise Reply(17, 907) from None
    if not names.valid_user(user) or b"@" not in target or target.startswith((b"|", b"/", b".")):
        raise Reply(17, 907)
    valias.insert(domain, user, b"&" + target)


def remove_alias(session, rest):
    domain, user, target = alias_of(session, rest, 1002)
    permit(session, domain, b"perm_alias", DELETE, 1001)
    if not target:
        raise Reply(16, 1006)
    lines = valias.lines(domain, user)
    left = [line for line in lines if line.removeprefix(b"&") != target]
    if left == lines:
        raise Reply(18, 1007)
    valias.delete(domain, user)
    for line in left:
        valias.insert(domain, user, line)


def delete_alias(session, rest):
    domain, user = address_of(session, rest, 1102, missing=14, invalid=15)
    permit(session, domain, b"perm_alias", DELETE, 1101)
    if not valias.lines(domain, user):
        raise Reply(19, 1106)
    valias.delete(domain, user)


def list_alias(session, rest):
    """All of a domain; of one address for a system administrator only."""
    if b"@" in rest and session.level() == "system":
        domain, user = address_of(session, rest, 2802)
        found = [user]
    elif not rest:
        raise Reply(13, 2802)
    else:
        domain = domain_of(session, rest, 2804)
        found = valias.users(domain)
    return [b"%b@%b %b" % (user, domain.real, line.removeprefix(b"&"))
            for user in found for line in valias.lines(domain, user)]


# ---------------------------------------------------------------- IP map, lists

def get_ip_map(session, rest):
    administrators(session, Reply(9, 3001), ("system",))
    if not rest:
        raise Reply(32, 3002)
    found = ipmap.domain(rest)
    if found is None:
        raise Reply(0, 3003, b"error")
    return [b"%b %b" % (rest, found)]


def change_ip_map(session, rest, change, place):
    ip, _, name = rest.partition(b" ")
    if not ip:
        raise Reply(32, place)
    if not name.strip():
        raise Reply(13, place + 1)
    change(ip, domain_of(session, name.strip(), place + 2).name)


def add_ip_map(session, rest):
    change_ip_map(session, rest, ipmap.add, 3102)


def del_ip_map(session, rest):
    change_ip_map(session, rest, ipmap.delete, 3202)


def show_ip_map(session, rest):
    return [b"%b %b" % pair for pair in ipmap.entries()]


def list_lists(session, rest):
    """The .qmail files of ezmlm's lists."""
    name, *words = rest.split()[:3] or [b""]
    domain = domain_of(session, name, 2903, missing=6)
    with Inside(domain):
        found = [entry for entry in sorted(os.listdir(b".")) if entry.startswith(b".qmail-")
                 and b"ezmlm-reject" in (files.read(entry) or b"").partition(b"\n")[0]]
    return page_of(found, words)


def not_implemented(place):
    def refuse(session, rest):
        raise Reply(36, place)
    return refuse


#  place of an error with a text of its own, who may use it (daemon.LEVELS), command
ALL = {work.__name__.encode(): (level, place, work) for level, place, work in (
    ("domain", 305, add_user), ("domain", 405, del_user), ("user", 507, mod_user), ("domain", 605, user_info),
    ("system", 804, add_domain), ("domain", 907, add_alias), ("domain", 1007, remove_alias),
    ("domain", 1106, delete_alias), ("system", 1204, add_alias_domain), ("system", 1303, del_domain),
    ("system", 1404, dom_info), ("system", 2302, list_domains), ("system", 2403, find_domain),
    ("system", 2502, domain_count), ("domain", 2604, user_count), ("domain", 2704, list_users),
    ("domain", 2804, list_alias), ("domain", 2905, list_lists), ("user", 3003, get_ip_map),
    ("system", 3105, add_ip_map), ("system", 3204, del_ip_map), ("system", 3302, show_ip_map),
    ("domain", 3403, get_limits), ("system", 3504, set_limits), ("system", 3603, del_limits),
    ("user", 3705, get_lastauth), ("user", 3806, get_user_size), ("domain", 3904, get_domain_size))}
ALL |= {name: ("domain", place, not_implemented(place)) for name, place in (
    (b"add_list", 4001), (b"del_list", 4101), (b"mod_list", 4201))}
ALL |= daemon_files.ALL
