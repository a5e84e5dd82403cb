"""The works: what every peer is asked to do. By name, in the order of the report."""
from . import (concurrency, idle, large, latency, long_queue, many_recipients, pop3, relay, sendmail, smtp_to_maildir,
               syncs)

ALL = {work.name: work for work in (
    smtp_to_maildir.Deliveries("1", keep=False), smtp_to_maildir.Deliveries("2", keep=True),
    relay.Relay(), relay.Slow(), many_recipients.ManyRecipients(), large.Large(), sendmail.Sendmail(), pop3.Pop3(),
    latency.Latency(), long_queue.LongQueue(), idle.Idle(), syncs.Syncs(), concurrency.Concurrency())}
