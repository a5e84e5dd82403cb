"""vipmap: which domain a user belongs to who names none, by the address he connected to.

    vipmap [-v] -a ip domain        adds a pair
    vipmap [-v] -d ip domain        deletes one
    vipmap [-v] -p                  shows all

Exit codes: 0; 255 usage; 111 a temporary trouble.

**Security**: run by root or vpopmail. Source: vpopmail.
"""
from ..vpopmail import command, ipmap, names

USAGE = """\
vipmap: usage: [options] ip domain
options: -v (print version number)
         -a ip domain (add the pair)
         -d ip domain (delete the pair)
         -p (show all pairs)
"""


def main(argv):
    options = command.Options(argv, b"vadp")
    given = {letter for letter, _ in options.found}
    if b"p" in given:
        for pair in ipmap.entries():
            command.say(b" ".join(pair))
        return 0
    if len(options.rest) < 2 or not given & {b"a", b"d"}:
        return command.usage(USAGE)
    ip, domain = options.rest[0].lower(), names.lower(options.rest[1])
    if not ip.split() == [ip] or not domain.split() == [domain]:    # one word each, or the file would say otherwise
        return command.usage(USAGE)
    (ipmap.add if b"a" in given else ipmap.delete)(ip, domain)
    return 0
