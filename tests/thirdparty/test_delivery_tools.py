"""What people put into .qmail files: Debian's fastforward, dot-forward, safecat, maildir-filter, maildrop, procmail."""
import os

import pytest

from tests.thirdparty.conftest import tool

pytestmark = [pytest.mark.root, pytest.mark.system]


def body(message):
    return message.partition(b"\n\n")[2]


# ---------------------------------------------------------------- fastforward: /etc/aliases and mailing lists

@pytest.fixture
def aliases(host, alias, tmp_path):
    """aliases(text): sendmail-style aliases for every address that has no user, compiled by newaliases, which
    knows no other place than /etc."""
    def make(text, options=""):
        (tmp_path / "aliases").write_text(text)
        done = host.run("unshare", "--mount", "sh", "-c", 'mount --bind "$1" /etc && exec "$2"', "sh", str(tmp_path),
                        tool("qmail-newaliases", "fastforward"))
        assert (done.returncode, done.stderr) == (0, b"")
        with open(alias("aliases.cdb", ""), "wb") as f:
            f.write(host.read(tmp_path / "aliases.cdb"))
        alias(".qmail-default", f"| fastforward {options} aliases.cdb\n")
    return make


def test_fastforward(host, people, aliases):
    one, two = people(), people()
    aliases(f"Both: {one.name}, {two.name}\n# comment\nnested:\n both\n")
    host.send("s@a.example", "nested@localhost")
    [first], [second] = host.wait(one.messages), host.wait(two.messages)
    for message, reader in ((first, one), (second, two)):
        assert message.startswith(b"Return-Path: <s@a.example>\nDelivered-To: %b@" % reader.name.encode())
        assert b"\nDelivered-To: nested@localhost\n" in message and b" invoked by alias); " in message
        assert body(message) == b"hello\n"


def test_fastforward_list_with_owner(host, people, aliases):
    """owner-LIST becomes the envelope sender; :include: is a list that newinclude compiled."""
    reader, owner = people(), people()
    reader.file("news", f"{reader.name}@localhost\n", 0o644)
    done = host.run(tool("newinclude", "fastforward"), "news", user=reader)
    assert (done.returncode, done.stderr) == (0, b"")
    os.chmod(reader.home, 0o755)
    aliases(f"news: :include:{reader.home}/news\nowner-news: {owner.name}\n")
    host.send("s@a.example", "news@localhost")
    [message] = host.wait(reader.messages)
    assert message.startswith(b"Return-Path: <owner-news@")


def test_fastforward_program(host, person, aliases):
    aliases(f'piped: "|exec forward {person.name}"\n')
    host.send("s@a.example", "piped@localhost")
    [message] = host.wait(person.messages)
    assert body(message) == b"hello\n"


def test_setforward_and_setmaillist(host, people, alias):
    """The other two compilers, as alias runs them."""
    one, two = people(), people()
    for program, name, table in (("setmaillist", "friends", f"{one.name}@localhost\n{two.name}@localhost\n"),
                                 ("setforward", "forward.cdb", "friends@: ./friends, ?owner@a.example;\n")):
        alias(name, "")
        done = host.run(tool(program, "fastforward"), f"/var/qmail/alias/{name}", "/var/qmail/alias/tmp",
                        input=table.encode())
        assert (done.returncode, done.stderr) == (0, b"")
    os.chmod(f"{host.home}/alias/forward.cdb", 0o644)
    alias(".qmail-default", "| fastforward forward.cdb\n")
    host.send("s@a.example", "friends@localhost")
    for reader in (one, two):
        [message] = host.wait(reader.messages)
        assert message.startswith(b"Return-Path: <owner@a.example>\n")


def test_fastforward_bounces_what_it_does_not_know(host, person, aliases):
    aliases("known: root\n")
    host.send(f"{person.name}@localhost", "unknown@localhost")
    [bounce] = host.wait(person.messages)
    assert b"<unknown@localhost>:\n" in bounce and b"Sorry, no mailbox here by that name. (#5.1.1)\n" in bounce


def test_fastforward_passes_through(host, people, aliases, alias):
    """-p: 99 ends the instructions when the address was found; otherwise the next one has its turn."""
    found, rest = people(), people()
    aliases(f"found: {found.name}\n", options="-p")
    with open(f"{host.home}/alias/.qmail-default", "a", encoding="utf-8") as f:
        f.write(f"&{rest.name}\n")
    host.send("s@a.example", "found@localhost", "other@localhost")
    host.wait(found.messages)
    [message] = host.wait(rest.messages)
    host.finished()
    assert b"\nDelivered-To: other@localhost\n" in message
    assert len(found.messages()) == len(rest.messages()) == 1


# ---------------------------------------------------------------- dot-forward

def test_dot_forward(host, people):
    owner, other = people(), people()
    owner.file(".qmail", "|dot-forward .forward\n./Maildir/\n")
    owner.file(".forward", f"\\{owner.name}, {other.name}\n# a comment\n")
    host.send("s@a.example", f"{owner.name}@localhost")
    [forwarded], [kept] = host.wait(other.messages), host.wait(owner.messages)
    assert b"\nDelivered-To: %b@localhost\n" % owner.name.encode() in forwarded
    assert body(forwarded) == body(kept) == b"hello\n"


def test_dot_forward_takes_all(host, people):
    owner, other = people(), people()
    owner.file(".qmail", "|dot-forward .forward\n./Maildir/\n")
    owner.file(".forward", f'{other.name}, "|/bin/cat > piped"\n')
    host.send("s@a.example", f"{owner.name}@localhost")
    host.wait(other.messages)
    host.finished()
    assert owner.messages() == [] and host.read(f"{owner.home}/piped").endswith(b"\nhello\n")


def test_dot_forward_without_a_forward_file(host, person):
    person.file(".qmail", "|dot-forward .forward\n./Maildir/\n")
    host.send("s@a.example", f"{person.name}@localhost")
    host.wait(person.messages)


# ---------------------------------------------------------------- filters

@pytest.mark.parametrize("line, top", [
    ('|preline safecat "$HOME"/Maildir/tmp "$HOME"/Maildir/new', b"From s@a.example "),
    ("|safecat Maildir/tmp Maildir/new", b"Received: (qmail "),
    ("|preline procmail -m rules", b"Return-Path: <s@a.example>\n"),      # to a Maildir it leaves out the From_ line
    ("|preline -f maildrop rules.maildrop", b"Return-Path: <s@a.example>\n"),
    ("|maildrop rules.maildrop", b"Received: (qmail "),
    ("|maildir-filter -H -i -r '^subject:.*TEST' -d ./Maildir", b"Received: (qmail "),
])
def test_into_a_maildir(host, person, line, top):
    for program in ("safecat", "procmail", "maildrop", "maildir-filter"):
        tool(program)
    person.file(".qmail", line + "\n")
    person.file("rules", "DEFAULT=./Maildir/\n")
    person.file("rules.maildrop", 'to "./Maildir"\n')
    host.send("s@a.example", f"{person.name}@localhost")
    [message] = host.wait(person.messages)
    host.finished()
    assert message.startswith(top) and b"Subject: test\n" in message and body(message) == b"hello\n"
    assert len(person.messages()) == 1


def test_procmail_forwards_through_sendmail(host, people):
    owner, other = people(), people()
    owner.file(".qmail", "|preline procmail -m rules\n")
    owner.file("rules", f":0\n* ^Subject: test\n! {other.name}\n")
    host.send("s@a.example", f"{owner.name}@localhost")
    [message] = host.wait(other.messages)
    assert b"\nDelivered-To: %b@localhost\n" % owner.name.encode() in message and body(message).startswith(b"hello\n")


def test_maildrop_forwards_through_sendmail(host, people):
    owner, other = people(), people()
    owner.file(".qmail", "|maildrop rules\n")
    owner.file("rules", f'if (/^Subject: test/)\n{{\n to "! {other.name}"\n}}\n')
    host.send("s@a.example", f"{owner.name}@localhost")
    [message] = host.wait(other.messages)
    assert body(message) == b"hello\n"


def test_formail_replies(host, people):
    """A vacation reply as the procmail manual has it: formail -r | sendmail -t."""
    owner, sender = people(), people()
    owner.file(".qmail", "|preline procmail -m rules\n")
    owner.file("rules", ":0 h\n* !^FROM_DAEMON\n| (formail -r -A'X-Loop: me'; echo I am away) | $SENDMAIL -oi -t\n")
    host.send(f"{sender.name}@localhost", f"{owner.name}@localhost",
              text=f"From: {sender.name}\r\nSubject: hello\r\n\r\nhello\r\n".encode())
    [reply] = host.wait(sender.messages)
    assert b"\nSubject: Re: hello\n" in reply and b"\nX-Loop: me\n" in reply and body(reply) == b"I am away\n"


@pytest.mark.parametrize("line, status", [
    ("|preline procmail -m rules", "failure"),             # EXITCODE=77 bounces (qmail-command(8): 64–78 …)
    ("|preline -f maildrop rules.maildrop", "failure"),
    ("|maildir-filter -b -r hello", "failure"),
    ("|safecat Maildir/tmp Maildir/nowhere", "deferral"),
    ("|maildrop rules.missing", "deferral"),
])
def test_exit_codes(host, person, line, status):
    person.file(".qmail", line + "\n")
    person.file("rules", "EXITCODE=77\nHOST\n")
    person.file("rules.maildrop", "EXITCODE=77\nexit\n")
    host.send("", f"{person.name}@localhost")
    host.wait(lambda: f": {status}: " in host.said() or ": success: " in host.said())
    assert f": {status}: " in host.said(), host.said()
    person.file(".qmail", "#\n")
    host.doqueue()
    host.finished()


def test_two_instructions_at_once(host, people):
    """condredirect with a filter of the system's, then a program that takes what is left: 99 and 100 of both sorts."""
    owner, other = people(), people()
    owner.file(".qmail", f"|condredirect {other.name} grep -q '^Subject: .*test'\n"
                         "|bouncesaying 'no such thing' grep -q ^X-Spam\n"
                         "|preline formail -I 'X-Seen: yes' | safecat Maildir/tmp Maildir/new\n")
    host.send("s@a.example", f"{owner.name}@localhost")
    host.send("s@a.example", f"{owner.name}@localhost", text=b"Subject: other\r\n\r\nhello\r\n")
    [redirected], [kept] = host.wait(other.messages), host.wait(owner.messages)
    assert b"\nSubject: test\n" in redirected
    assert b"\nSubject: other\n" in kept and b"\nX-Seen: yes\n" in kept
