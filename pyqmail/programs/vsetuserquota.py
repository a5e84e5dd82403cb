"""vsetuserquota: set the quota of a user, or of every user of a domain.

    vsetuserquota [-v] user@domain | domain quota

quota: bytes, 100K, 10M, 500C (messages), both with a comma, or NOQUOTA. maildirsize is counted anew. Exit codes:
0 done; 227 to 255 vpopmail's errors, told on standard output; 111 a temporary trouble.

**Security**: run by root or the domain's owner; works as the owner inside the domain. Source: vpopmail.
"""
import os

from ..vpopmail import accounts, command, names, onchange, quotas, users
from ..vpopmail.errors import Refused

USAGE = """\
vsetuserquota: [options] email_address|domain_name quota
options:
-v (print version number)

If you specify a domain name rather than an email address,
the quota will be applied to all users in that domain
"""


def main(argv):
    return command.answer(change, command.Options(argv, b"v"))


def change(options):
    os.umask(0o077)
    if len(options.rest) < 2:
        return command.usage(USAGE)
    target, quota = names.lower(options.rest[0]), options.rest[1]
    if len(quota) > names.QUOTA:
        raise Refused("QUOTA_TOO_LONG")
    if b"@" not in target:
        domain = users.find_domain(target)
        store = accounts.store(domain)
        quota = quotas.normal(quota)
        store.change_all(lambda account: setattr(account, "quota", quota))
        changed = store.all()
    else:
        user, name = names.parse(target)
        domain = users.find_domain(name)
        users.check_name(user)
        store = accounts.store(domain)
        quota = quotas.normal(quota)
        store.change(user, lambda account: setattr(account, "quota", quota))
        changed = [store.get(user)]
    for account in changed:
        quotas.apply(domain, account)
    onchange.tell(b"mod_user", target)
    return 0
