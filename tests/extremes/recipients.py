"""One message to 100,000 recipients: that go through, that all fail, and how other mail fares meanwhile."""
import statistics
import time

from tests.extremes import site as sites
from tests.extremes.large import Client
from tests.extremes.sink import Sink
from tests.powercut import world

TEXT = b"Subject: list\n\nto everybody\n"
LIMIT = 256                         # MB that a process may take
BATCH = 500                         # RCPTs sent at once
SMTP_MOST = 10_000                  # control/maxrecipients


def recipients(site, table, options):
    count = options.recipients
    site.dotqmail("joe", "list-default", "#\n")                 # taken, and thrown away
    site.dotqmail("joe", "some-default", "./Maildir/\n")
    table.figure("recipients of one message", f"{count:,}")
    with Sink(rcpt=b"550 no such user") as sink, site.running(concurrencylocal="20", concurrencyremote="20"):
        with sites.Peaks(site.home) as peaks:
            delivered(site, table, [f"joe-list-{number}@{world.DOMAIN}" for number in range(count)])
            stored(site, table, count // 10)
            failing(site, table, count, "local", [f"nosuch{number}@{world.DOMAIN}" for number in range(count)])
            failing(site, table, count // 10, "remote",
                    [f"refused-{number}@{world.REMOTE}" for number in range(count // 10)])
            table.expect(not sink.taken, "the other host took what it refused")
            by_smtp(site, table, min(count // 10, SMTP_MOST))
            by_inject(site, table, count // 10 if options.small else count)
        peaks.tell(table, LIMIT)


def delivered(site, table, everybody):
    """And what is sent meanwhile does not wait for it."""
    with sites.stopwatch() as queued:
        if code := site.by_queue(sites.SUE, everybody, TEXT):
            raise sites.Broken(f"qmail-queue ended with {code}")
    table.figure("qmail-queue took it in", f"{queued[0]:.2f} s")
    waits = []
    with sites.stopwatch() as taken:
        while not waits or site.in_queue():
            before, began = site.arrived("sue"), time.monotonic()
            site.send(sites.JOE, sites.SUE)
            site.until(lambda: site.arrived("sue") > before, "mail to somebody else while a long list is delivered")
            waits.append(time.monotonic() - began)
            if len(site.in_queue()) > 1:
                time.sleep(0.3)
    table.figure("delivered, and done, in", f"{taken[0]:.1f} s", f"{len(everybody) / taken[0]:.0f}/s")
    table.figure("other messages meanwhile", f"{len(waits)}")
    table.figure("  their way from SMTP to the Maildir, median", f"{statistics.median(waits):.2f} s")
    table.figure("  the longest", f"{max(waits):.2f} s")
    site.empty("sue")


def stored(site, table, count):
    """Into a Maildir: each once."""
    if code := site.by_queue(sites.SUE, [f"joe-some-{number}@{world.DOMAIN}" for number in range(count)], TEXT):
        raise sites.Broken(f"qmail-queue ended with {code}")
    with sites.stopwatch() as taken:
        site.until(site.is_empty, "delivered")
    found = {text.partition(b"Delivered-To: ")[2].partition(b"\n")[0] for text in site.texts("joe")}
    table.expect(len(found) == site.arrived("joe") == count, f"{site.arrived('joe')} copies, {len(found)} recipients")
    table.figure(f"{count:,} of them into a Maildir, each once, in", f"{taken[0]:.1f} s")
    site.empty("joe")


def failing(site, table, count, where, everybody):
    """One bounce, with every address in it."""
    if code := site.by_queue(sites.SUE, everybody, TEXT):
        raise sites.Broken(f"qmail-queue ended with {code}")
    with sites.stopwatch() as taken:
        site.until(lambda: site.arrived("sue"), f"the bounce of many {where} recipients")
        site.until(site.is_empty, "done")
    [text] = site.texts("sue")
    named = sum(b"<%b>:\n" % one.encode() in text for one in everybody[:50] + everybody[-50:])
    paragraphs = text.count(b">:\n")
    table.expect(named == min(100, 2 * count) and paragraphs == count, f"the bounce names {paragraphs} of {count}")
    table.figure(f"{count:,} that fail ({where}), one bounce with all of them, in", f"{taken[0]:.1f} s",
                 f"{len(text) / 1e6:.1f} MB")
    site.empty("sue")


def by_smtp(site, table, count):
    """As many as SMTP takes in one transaction; one more is refused for now."""
    with Client() as client, sites.stopwatch() as taken:
        client.ask(f"MAIL FROM:<{sites.SUE}>")
        for first in range(0, count, BATCH):
            numbers = range(first, min(first + BATCH, count))
            client.sock.sendall(b"".join(f"RCPT TO:<joe-list-{one}@{world.DOMAIN}>\r\n".encode() for one in numbers))
            table.expect(all(client.reply().startswith("250") for _ in numbers), "a recipient was refused")
        if count == SMTP_MOST:
            reply = client.ask(f"RCPT TO:<joe-list-more@{world.DOMAIN}>")
            table.expect(reply.startswith("452"), f"one recipient more than maxrecipients: {reply}")
        client.ask("DATA")
        reply = client.ask(TEXT.replace(b"\n", b"\r\n").decode() + ".")
        table.expect(reply.startswith("250"), reply)
    table.figure(f"{count:,} recipients by SMTP, taken in", f"{taken[0]:.1f} s")
    site.until(site.is_empty, "delivered")


def by_inject(site, table, count):
    """All of them in a header field, as mailing programs hand them over."""
    header = "Bcc: " + ",\n  ".join(f"joe-list-{number}@{world.DOMAIN}" for number in range(count)) + "\n"
    with sites.stopwatch() as taken:
        done = site.by_sendmail("joe", "-H", program="qmail-inject", text=header.encode() + TEXT)
    if done.returncode:
        raise sites.Broken(f"qmail-inject: {done}")
    table.figure(f"{count:,} recipients in Bcc by qmail-inject, taken in", f"{taken[0]:.1f} s")
    site.until(site.is_empty, "delivered")
