"""What a domain allows: .qmailadmin-limits in its directory, or etc/vlimits.default for all that have none.

Lines "NAME VALUE" or "NAME: VALUE", words alone for what is switched off; "#" starts a comment. The numbers are
for software that creates accounts, except default_quota and default_maxmsgcount, which new users get; the words
act as flags of every user of the domain who has not V_OVERRIDE.
Source: vpopmail, as recorded.
"""
from ..base import number
from . import files, flags, home
from .errors import Refused
from .place import Inside

NAME, DEFAULT = b".qmailadmin-limits", b"vlimits.default"
MAXIMA = (b"maxpopaccounts", b"maxaliases", b"maxforwards", b"maxautoresponders", b"maxmailinglists")
QUOTAS = (b"quota", b"maxmsgcount", b"default_quota", b"default_maxmsgcount")
WORDS = (
    (b"disable_pop", flags.NO_POP), (b"disable_imap", flags.NO_IMAP), (b"disable_dialup", flags.NO_DIALUP),
    (b"disable_password_changing", flags.NO_PASSWD_CHNG), (b"disable_webmail", flags.NO_WEBMAIL),
    (b"disable_external_relay", flags.NO_RELAY), (b"disable_smtp", flags.NO_SMTP),
    (b"disable_spamassassin", flags.NO_SPAMASSASSIN), (b"delete_spam", flags.DELETE_SPAM),
    (b"disable_maildrop", flags.NO_MAILDROP),
)
PERMISSIONS = (b"perm_account", b"perm_alias", b"perm_forward", b"perm_autoresponder", b"perm_maillist", b"perm_quota",
               b"perm_defaultquota")
UNLIMITED = -1
PRIVATE, PUBLIC = 0o600, 0o644


class Limits:
    """numbers: {name of MAXIMA, QUOTAS or PERMISSIONS: value}; flags: those that the words switch on."""

    def __init__(self, maximum=UNLIMITED):
        self.numbers = {name: maximum if name in MAXIMA else 0 for name in (*MAXIMA, *QUOTAS, *PERMISSIONS)}
        self.flags = 0

    def default_quota(self):
        """The quota of a new user, in its stored form."""
        size, count = self.numbers[b"default_quota"], self.numbers[b"default_maxmsgcount"]
        parts = [b"%dS" % size] * (size > 0) + [b"%dC" % count] * (count > 0)
        return b",".join(parts) or b"NOQUOTA"


def parse(text, maximum=UNLIMITED):
    """The Limits of a file. maximum: what a maximum that is not mentioned is."""
    found = Limits(maximum)
    words = dict(WORDS)
    for line in text.split(b"\n"):
        fields = line.partition(b"#")[0].replace(b":", b" ").split()
        if not fields:
            continue
        if fields[0] in words:
            found.flags |= words[fields[0]]
        elif fields[0] in found.numbers and len(fields) > 1:
            found.numbers[fields[0]] = signed(fields[1])
    return found


def signed(text):
    value = number.leading(text.removeprefix(b"-"))[0] or 0
    return -value if text.startswith(b"-") else value


def form(found):
    """The text of a file."""
    lines = [b"%b: %d" % (name, found.numbers[name]) for name in (*MAXIMA, *QUOTAS)]
    lines += [word for word, flag in WORDS if found.flags & flag]
    lines += [b"%b: %d" % (name, found.numbers[name]) for name in PERMISSIONS]
    return b"".join(line + b"\n" for line in lines)


def get(domain):
    """The Limits of a domain. Raises Refused CANT_READ_LIMITS if there are none, not even defaults."""
    with Inside(domain):
        text = files.read(NAME)
    return get_default() if text is None else parse(text)


def get_default(maximum=UNLIMITED):
    text = files.read(home.path(b"etc", DEFAULT))
    if text is None:
        raise Refused("CANT_READ_LIMITS")
    return parse(text, maximum)


def put(domain, found):
    with Inside(domain):
        files.replace(NAME, form(found), PRIVATE)


def put_default(found):
    files.replace(home.path(b"etc", DEFAULT), form(found), PUBLIC)


def delete(domain):
    """Back to the defaults; False if the domain had no limits of its own."""
    with Inside(domain):
        there = files.read(NAME) is not None
        files.remove(NAME)
    return there


def effective(domain, account):
    """The flags that hold for an account: its own and, without V_OVERRIDE, the domain's."""
    if account.flags & flags.V_OVERRIDE:
        return account.flags
    return account.flags | get(domain).flags
