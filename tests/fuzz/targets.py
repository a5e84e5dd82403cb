"""The table of targets, and the place they work in."""
import contextlib
import os
import random
import shutil
import tempfile
from collections import namedtuple

from pyqmail.base import errors, home

from . import connections, formats, hosts, mailboxes, queues, sessions, vpopmaild

HERE = os.path.dirname(os.path.abspath(__file__))
CORPUS = os.path.join(HERE, "corpus")
MEMORY = "/dev/shm"                 # most inputs of targets with files cost a tenth there of what a disk takes
LONGEST = 4096                      # bytes of an input; files of one target stay far below that
EDGES = (b"\r\n", b"\n", b"\r", b"\0", b".", b"\r\n.\r\n", b"\n.\n", b":", b",", b"@", b"<", b">", b'"', b"\\", b" ",
         b"\t", b"-", b"%", b"\xff", b"0", b"99999999999999999999", b"-1", b"/", b"..", b"[", b"]", b"(", b"=",
         b"+", b"#", b"|")

Target = namedtuple("Target", "name run promise")

TARGETS = {each.name: each for each in (
    Target("smtp", sessions.smtp_server, "accepts what the model accepts, byte for byte; the same codes"),
    Target("queue-answer", sessions.queue_answer, "a queue program's own words are one reply line"),
    Target("smtp-replies", sessions.smtp_replies, "a server's replies: the model's codes and texts"),
    Target("smtp-client", sessions.smtp_client, "the model's report; whole lines; no text before DATA's answer"),
    Target("smtp-text", sessions.smtp_text, "what goes out after DATA is taken by a server as that very message"),
    Target("kept-connections", connections.kept_connections, "accepted if and only if the server has it, to the byte"),
    Target("qmtp", sessions.qmtp_server, "accepts and answers as the model"),
    Target("qmqp", sessions.qmqp_server, "accepts and answers as the model"),
    Target("qmqp-packet", sessions.qmqp_packet, "a client's packet is taken by the server as it was meant"),
    Target("netstrings", sessions.netstring_input, "the model's netstrings, in whatever pieces"),
    Target("pop3-login", sessions.pop3_login, "one line a command; logins without NUL or line end"),
    Target("pop3", sessions.pop3_session, "replies a client can read; texts as they are; QUIT removes what DELE named"),
    Target("vpopmaild", vpopmaild.session, "every line is answered in its form; before a login nothing happens"),
    Target("addresses", formats.addresses_quoted, "quoting and unquoting give the address back; one line"),
    Target("smtp-address", formats.smtp_grammar, "the model's address"),
    Target("header", formats.header_fields, "fields and body are the message, in whatever pieces"),
    Target("inject", formats.inject_header, "a header that reads back as it was meant, or Permanent"),
    Target("address-lists", formats.address_lists, "what is written reads back; bounded; or Unparsable"),
    Target("envelope", formats.envelope_in, "the model's records and exit code"),
    Target("envelope-files", formats.envelope_files, "complete records at their offsets"),
    Target("queue-request", formats.queue_request, "a request, or nothing"),
    Target("queue-names", formats.queue_names, "numbers and suspects, or left out"),
    Target("submissions", queues.submissions, "the model's exit codes; in the queue is what was accepted, to the byte"),
    Target("new-messages", queues.new_message, "the model's info, local and remote, or the message waits"),
    Target("damaged-queue", queues.damaged_message, "shown printably; bounced and deleted as asked; or OSError"),
    Target("disorder", queues.disorder, "a queue in which everything has its place, and nothing is lost"),
    Target("orders", formats.orders_and_reports, "the same records in whatever pieces; bounded"),
    Target("remote-output", formats.remote_output, "one letter; success only if it said so"),
    Target("bounce-text", formats.bounce_text, "one paragraph"),
    Target("routing", formats.recipients_routed, "a channel and an address with a host"),
    Target("look-ups", formats.resolver_words, "never root; or Undecided"),
    Target("control", formats.control_files, "lines without ends, NUL, blanks; bounded ports; documented errors"),
    Target("ip-addresses", formats.ip_addresses, "a canonical form is its own"),
    Target("tcprules", formats.rules, "records that unpack, or Permanent"),
    Target("assign", formats.users_assign, "records that look-ups take, or BadFormat"),
    Target("cdb", formats.databases, "what was written; all readers agree about broken files, or Temporary"),
    Target("tcpto", formats.tcpto_table, "64 records that write as they read"),
    Target("dot-qmail", formats.dot_qmail, "instructions or Temporary; names stay in the home"),
    Target("mbox", formats.mbox_quoting, "one message, that comes out as it went in"),
    Target("maildirsize", formats.maildir_sizes, "sums, quotas and names, or none"),
    Target("vpasswd", formats.vpasswd_lines, "accounts read back as written, or Refused"),
    Target("limits", formats.domain_limits, "what is written reads back"),
    Target("mail-names", formats.mail_names, "allowed characters, or BadName; URL or Temporary"),
    Target("logins", formats.checkpassword_input, "fields without NUL, or Misused"),
    Target("authdaemond", formats.authdaemon_requests, "a request travels as it is, or Malformed"),
    Target("rcptcheck", formats.rcptcheck_packets, "packets mean what was meant, or nothing"),
    Target("log-lines", formats.log_lines, "printable pieces of bounded length"),
    Target("words", formats.options_and_words, "options, ident answers, numbers: bounded, or BadOption"),
    Target("dns-names", formats.dns_names, "a name DNS can carry, or NotFound"),
    Target("dns-answers", hosts.dns_answers, "records in their form, bounded; or NotFound"),
    Target("surroundings", hosts.surroundings, "Received is two harmless lines; a rule is a verdict and variables"),
    Target("user-environment", hosts.user_environment, "a header of just the fields it must have, or Permanent"),
    Target("maildirs", mailboxes.maildirs, "lists of lines; QUIT removes what DELE named and nothing else"),
    Target("terminals", mailboxes.terminals, "printable lines of bounded length"),
    Target("virtual-dot-qmail", mailboxes.virtual_dot_qmail, "the model's instructions in their order"),
    Target("vpasswd-files", mailboxes.accounts_of_a_domain, "what was there stays, look-ups agree; or refused"),
    Target("domain-lists", mailboxes.domain_lists, "in order, once; directories that are some; counts that add up"),
    Target("passwords", mailboxes.passwords, "nobody but by his own hash, unlocked and not expired; never root"),
    Target("login-failures", mailboxes.failed_logins, "as many as are allowed shut out, none counts twice"),
    Target("open-smtp", mailboxes.open_smtp, "who has logged in, as long as his time lasts, and nobody else"),
    Target("dns-routes", formats.dns_routes, "a bounded walk, never to ourselves"),
)}


def memory():
    """Where files are kept in memory; None if there is no such place."""
    return MEMORY if os.access(MEMORY, os.W_OK) else None


@contextlib.contextmanager
def world(inside=None):
    """A throw-away home, the current directory in it; what the programs would say nobody hears."""
    before, say, directory = home.HOME, errors.say, os.getcwd()
    place = tempfile.mkdtemp(prefix="pyqmail-fuzz.", dir=inside or memory())
    try:
        os.mkdir(f"{place}/control")
        home.HOME, errors.say = place, lambda *parts: None
        os.chdir(place)
        yield
    finally:
        os.chdir(directory)
        home.HOME, errors.say = before, say
        shutil.rmtree(place, ignore_errors=True)


def corpus(name):
    """[(file name, bytes)] of a target's inputs in the repository."""
    directory = os.path.join(CORPUS, name)
    found = []
    for each in sorted(os.listdir(directory)) if os.path.isdir(directory) else ():
        with open(os.path.join(directory, each), "rb") as f:
            found.append((each, f.read()))
    return found


def mutations(name, count):
    """`count` inputs made from the corpus, always the same ones."""
    chance = random.Random(name)
    inputs = [data for _, data in corpus(name)] or [b""]
    for _ in range(count):
        data = bytearray(chance.choice(inputs))
        for _ in range(chance.randint(1, 4)):
            at, end = sorted((chance.randint(0, len(data)), chance.randint(0, len(data))))
            kind = chance.randrange(6)
            if kind == 0 and data:
                data[min(at, len(data) - 1)] = chance.randrange(256)
            elif kind == 1:
                del data[at:min(end, at + 16)]
            elif kind == 2:
                data[at:at] = chance.choice(EDGES)
            elif kind == 3:
                data[at:at] = data[at:end][:200]
            elif kind == 4:
                other = chance.choice(inputs)
                cut = chance.randint(0, len(other))
                data[at:] = other[cut:]
            else:
                data[at:at + 1] = bytes(chance.randrange(256) for _ in range(chance.randint(1, 4)))
        yield bytes(data[:LONGEST])
