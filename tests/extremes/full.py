"""No space, and no inodes: for the queue, for a Maildir, for the log. What was accepted is kept, the rest is refused
for now, and with the space everything goes on by itself."""
import contextlib
import os
import subprocess
import threading

from tests.extremes import site as sites
from tests.peers.small_disk import Disk
from tests.powercut import world

LARGE = b"Subject: large\r\n\r\n" + b"x" * 120_000 + b"\r\n"
SMALL = b"Subject: small\r\n\r\nshort\r\n"
ITSELF = 600                        # s for everything to go on by itself; qmail-send tries again after 123
EACH = 3                            # messages of a kind
TEMPORARY = range(51, 80)           # exit codes of qmail-queue: trouble that may pass, but those for networks


def full(site, table, options):
    site.dotqmail("alias", "gone-default", "|echo no; exit 100\n")
    site.dotqmail("alias", "turn-default", f"|test -e {site.home}/turned || exit 111; exit 100\n")
    for kind in ("inodes",) if options.small else ("space", "inodes"):     # tests/system/test_full_disk.py has more
        queue_full(site, table, kind, by_itself=not options.small)
    for kind in () if options.small else ("space", "inodes"):
        maildir_full(site, table, kind)
    log_full(site, table)


@contextlib.contextmanager
def small_disk(site, place, **size):
    os.mkdir(f"{place}.disk")
    disk = Disk(f"{site.world.place}/small", place, **size)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", place], check=False, capture_output=True)
        os.rmdir(f"{place}.disk")
        os.unlink(f"{site.world.place}/small")


def take(disk, kind):
    getattr(disk, {"space": "fill", "inodes": "fill_inodes"}[kind])()


def queue_full(site, table, kind, by_itself):
    """Some messages are in todo, some have failed for one recipient and some for none when the disk becomes full and
    the other recipients fail."""
    turned = f"{site.home}/turned"
    site.empty("joe", "sue")
    with small_disk(site, f"{site.home}/queue") as disk, site.running():
        for number in range(EACH):
            site.send(sites.SUE, f"turn-{number}@{world.DOMAIN}", f"gone-{number}@{world.DOMAIN}")
        site.send(sites.SUE, f"turn-alone@{world.DOMAIN}")
        site.until(lambda: [site.log().count(word) for word in ("failure: ", "deferral: ")] == [EACH, EACH + 1], "deferred")
        with site.stopped(*site.processes("qmail-send")):
            for _ in range(EACH):
                site.send(sites.SUE, sites.JOE)
                site.send(sites.SUE, f"gone-x@{world.DOMAIN}")
            take(disk, kind)
            answers = refusals(site)
            table.expect(not answers["wrong"], f"queue without {kind}: {answers['wrong']}")
            table.figure(f"queue without {kind}: refused for now", f"{answers['refused']}",
                         f"SMTP {answers['smtp']}, qmail-queue {answers['queue']}, sendmail {answers['sendmail']}")
            accepted = answers["accepted"]
        site.until(lambda: "warning: " in site.log() or site.arrived("joe"), "qmail-send has no room either")
        with open(turned, "w", encoding="ascii"):
            pass
        site.doqueue()
        site.until(lambda: "bounce message" in site.log(), "bounces have no room either")
        disk.empty()
        with sites.stopwatch() as taken:
            if not by_itself:
                site.restart()
            site.until(lambda: (by_itself or site.doqueue() or True) and site.is_empty(), "it goes on with the space",
                       ITSELF)
        table.figure(f"  {'by itself' if by_itself else 'started again'}, with the space: finished after",
                     f"{taken[0]:.0f} s")
        table.expect(site.arrived("joe") == EACH + accepted, f"{site.arrived('joe')} of {EACH + accepted} delivered")
        found = sum(text.count(b">:\n") for text in site.texts("sue"))
        table.expect((site.arrived("sue"), found) == (2 * EACH + 1, 3 * EACH + 1),
                     f"{site.arrived('sue')} of {2 * EACH + 1} bounces, of {found} failures")
        os.unlink(turned)
        site.send(sites.SUE, sites.JOE)
        site.until(lambda: site.arrived("joe") == EACH + accepted + 1, "new mail")


def refusals(site):
    """What everybody is told who wants to queue something now."""
    found = {"smtp": set(), "queue": set(), "sendmail": set(), "wrong": [], "refused": 0, "accepted": 0}
    for text in (LARGE, SMALL) * 2:
        code, reply = site.answer(sites.SUE, sites.JOE, text=text)
        note(found, "smtp", code, code == 250, 400 <= code < 500, reply)
        code = site.by_queue(sites.SUE, [sites.JOE], text.replace(b"\r\n", b"\n"))
        note(found, "queue", code, code == 0, code in TEMPORARY, "qmail-queue")
        done = site.by_sendmail("joe", sites.JOE, text=text.replace(b"\r\n", b"\n"))
        note(found, "sendmail", done.returncode, done.returncode == 0, done.returncode == 111, done.stderr)
    return found


def note(found, who, code, accepted, temporary, said):
    found[who].add(code)
    if accepted:
        found["accepted"] += 1
    elif temporary:
        found["refused"] += 1
    else:
        found["wrong"].append((who, code, said))


def maildir_full(site, table, kind):
    site.empty("joe")
    with small_disk(site, site.mailbox("joe")) as disk, site.running():
        take(disk, kind)
        for _ in range(EACH):
            site.send(sites.SUE, sites.JOE, text=LARGE)
        site.until(lambda: site.log().count("Temporary_error_on_maildir_delivery") >= EACH, "deferred")
        table.expect(site.arrived("joe") == 0 and not os.listdir(f"{site.mailbox('joe')}/tmp"), "something lies about")
        disk.empty()
        site.until(lambda: site.doqueue() or site.is_empty(), "delivered, with the space")
        table.expect(site.arrived("joe") == EACH, f"{site.arrived('joe')} of {EACH} delivered")
        table.figure(f"Maildir without {kind}: deferred, then delivered", f"{EACH}")
    site.empty("joe")


def log_full(site, table):
    """Who writes the log waits; nothing is lost, and all goes on with the space."""
    site.empty("joe")
    with small_disk(site, f"{site.home}/log", size="4M") as disk, site.running():
        take(disk, "space")

        def one():
            site.send(sites.SUE, sites.JOE)
        threads = [threading.Thread(target=one, daemon=True) for _ in range(EACH * 20)]
        for thread in threads:
            thread.start()
        table.expect(site.by_queue(sites.SUE, [sites.JOE], SMALL) == 0, "qmail-queue needs no log")
        disk.empty()
        for thread in threads:
            thread.join(sites.PATIENCE)
        site.until(lambda: site.arrived("joe") >= len(threads) + 1, "all goes on when the log can be written")
        site.until(site.is_empty, "and is finished")
        table.expect(site.arrived("joe") == len(threads) + 1, "delivered more than once")
        table.figure("log without space: taken, kept, then delivered", f"{len(threads) + 1}")
    site.empty("joe")
