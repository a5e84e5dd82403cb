"""tcprules: compile rules for qmail-smtpd --listen, qmail-popup --listen and tcpserver.

    tcprules CDB TMP < rules

Reads rules from descriptor 0, writes them to TMP in the form that look-ups need, and moves TMP to
CDB, so that a server that looks at CDB sees the old rules or the new ones, never half of them. The new ones are on
the disk when it ends.
Both must be in one file system. CDB stays as it was if anything fails.

    192.0.2.7:allow,RELAYCLIENT=""          one address
    192.0.2.32-47:allow,DATABYTES="1000"    a range
    198.51.100.:deny                        a network; 2001:db8::1: and 2001:db8:: as well
    :allow                                  everybody else

Exit codes: 0 done; 100 wrong usage, or a rule that cannot be understood; 111 temporary trouble.

**Security**: runs as whoever changes the rules; reads nothing but descriptor 0.
Source: tcprules(1).
"""
import os

from ..base import cdb, errors, netio, tcprules

LARGEST = 1 << 26                   # bytes of rules


def main(argv):
    if len(argv) != 2:
        errors.say("tcprules: usage: tcprules rules.cdb rules.tmp")
        return errors.PERMANENT
    target, temporary = argv
    source = step("read input", netio.read_all, 0, LARGEST + 1)
    if len(source) > LARGEST:
        raise errors.Permanent("too many rules")
    records = list(tcprules.compile_rules(source))
    fd = step(f"create {os.fsdecode(temporary)}", os.open, temporary,
              os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    step(f"write {os.fsdecode(temporary)}", cdb.write, fd, records)
    step(f"write {os.fsdecode(temporary)}", os.close, fd)
    step(f"move {os.fsdecode(temporary)} to {os.fsdecode(target)}", os.rename, temporary, target)
    step(f"sync {os.fsdecode(target)}", netio.sync_directory, os.path.dirname(target) or b".")


def step(what, action, *arguments):
    """action(*arguments); its OSError is told as "unable to WHAT"."""
    try:
        return action(*arguments)
    except OSError as why:
        raise errors.Temporary(f"unable to {what}: {errors.text(why)}") from why
