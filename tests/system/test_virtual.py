"""Virtual domains on a running system: made, used, changed and removed by the administrator's programs, mail in by
SMTP and out by POP3."""
import concurrent.futures
import contextlib
import os
import poplib
import signal
import smtplib
import subprocess

import pytest

from tests.peers.virtual import PASSWORD

pytestmark = [pytest.mark.root, pytest.mark.system]

TEXT = b"Subject: test\n\nhello\n"
NO_MAILBOX = b"Sorry, no mailbox here by that name. (#5.1.1)"
OVER_QUOTA = b"user is over quota"


@pytest.fixture(scope="module")
def shared(virtual):
    """A domain whose users joe and ann every test of this file may use."""
    name = virtual.add_domain()
    for user in ("joe", "ann"):
        virtual.add_user(f"{user}@{name}")
    return name


def smtp(virtual, recipient, text=TEXT, sender="stranger@elsewhere.test"):
    with smtplib.SMTP("127.0.0.1", virtual.smtp, timeout=60, local_hostname="client.test",
                      source_address=("127.0.0.9", 0)) as server:       # from 127.0.0.1 everything is taken
        assert server.sendmail(sender, [recipient], text.replace(b"\n", b"\r\n")) == {}


def inject(virtual, sender, recipient, text=TEXT):
    """From this machine, where no recipient is refused before he bounces."""
    subprocess.run([f"{virtual.home}/bin/qmail-inject", "-f", sender, recipient], input=text, check=True, timeout=60)


def login(virtual, address, password=PASSWORD):
    """A POP3 session."""
    pop3 = poplib.POP3("127.0.0.1", virtual.pop3, timeout=60)
    try:
        pop3.user(address)
        pop3.pass_(password)
    except BaseException:
        pop3.close()
        raise
    return pop3


def may_log_in(virtual, address, password=PASSWORD):
    try:
        login(virtual, address, password).quit()
    except poplib.error_proto:
        return False
    return True


def refused(virtual, *logins):
    """Those of the logins (address, password) that are refused; asked at once, since each no takes its time."""
    with concurrent.futures.ThreadPoolExecutor(len(logins)) as threads:
        answers = list(threads.map(lambda who: may_log_in(virtual, *who), logins))
    return [who for who, yes in zip(logins, answers) if not yes]


def by_pop3(virtual, address):
    """The messages that POP3 shows (it leaves out those of the present second)."""
    with contextlib.closing(login(virtual, address)) as pop3:
        found = [b"\n".join(pop3.retr(number + 1)[1]) for number in range(pop3.stat()[0])]
        pop3.quit()
    return found


def arrived(virtual, address, word):
    """The first message of a Maildir with `word` in it, as soon as it is there."""
    return virtual.wait(lambda: next((text for text in virtual.messages(address) if word in text), None), 60)


def mark():
    """A subject that no other message has."""
    word = b"m" + os.urandom(6).hex().encode()
    return word, b"Subject: %b\n\nhello\n" % word


# ------------------------------------------------------------------ mail

def test_in_by_smtp_out_by_pop3(virtual, shared):
    word, text = mark()
    smtp(virtual, f"joe@{shared}", text)
    found = virtual.wait(lambda: [text for text in by_pop3(virtual, f"joe@{shared}") if word in text], 60)
    assert len(found) == 1
    assert f"Delivered-To: joe@{shared}\n".encode() in found[0]
    assert b"Return-Path: <stranger@elsewhere.test>\n" in found[0]


def test_an_alias_domain_is_another_name(virtual, shared):
    other = virtual.new_name()
    virtual.run("vaddaliasdomain", shared, other)
    word, text = mark()
    smtp(virtual, f"joe@{other}", text)
    assert arrived(virtual, f"joe@{shared}", word)
    assert may_log_in(virtual, f"joe@{other}")
    assert virtual.run("vdominfo", shared).endswith(f"alias: {other}\n")
    virtual.run("vdeldomain", other)
    assert virtual.domain_directory(shared)
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        smtp(virtual, f"joe@{other}")


def test_an_alias_leads_to_several(virtual, shared):
    for line in (f"&joe@{shared}", f"&ann@{shared}"):
        virtual.run("valias", "-i", line, f"sales.team@{shared}")
    word, text = mark()
    smtp(virtual, f"sales.team@{shared}", text)
    for user in ("joe", "ann"):
        assert arrived(virtual, f"{user}@{shared}", word)


def test_mail_for_unknown_users_goes_where_it_was_sent_to(virtual):
    name = virtual.add_domain("-e", "catcher")
    virtual.add_user(f"catcher@{name}")
    word, text = mark()
    smtp(virtual, f"any.one@{name}", text)
    assert f"Delivered-To: any.one@{name}\n".encode() in arrived(virtual, f"catcher@{name}", word)


def test_mail_for_unknown_users_bounces(virtual, shared):
    word, text = mark()
    inject(virtual, f"ann@{shared}", f"nobody@{shared}", text)
    bounce = arrived(virtual, f"ann@{shared}", word)
    assert NO_MAILBOX in bounce and b"Return-Path: <>\n" in bounce


def test_a_bulletin_is_in_every_mailbox(virtual, shared, tmp_path):
    name = virtual.add_domain()
    virtual.add_user(f"joe@{name}")
    word, text = mark()
    bulletin, without = tmp_path / "bulletin", tmp_path / "without"
    bulletin.write_bytes(b"From: <postmaster@%b>\n%b" % (name.encode(), text))
    without.write_text(f"joe@{name}\n")
    virtual.run("vpopbull", "-f", str(bulletin), "-e", str(without), name, shared)
    for address in (f"postmaster@{name}", f"joe@{shared}", f"ann@{shared}"):
        found = virtual.wait(lambda: [text for text in by_pop3(virtual, address) if word in text])
        assert f"To: {address}".encode() in found[0]
    assert not [text for text in virtual.messages(f"joe@{name}") if word in text]


# ------------------------------------------------------------------ quotas

def test_more_than_the_quota_bounces(virtual, shared):
    virtual.add_user(f"full@{shared}", "-q", "3000")
    word, text = mark()
    inject(virtual, f"ann@{shared}", f"full@{shared}", text + 4000 * b"x" + b"\n")
    assert OVER_QUOTA in arrived(virtual, f"ann@{shared}", word)
    assert virtual.messages(f"full@{shared}") == []
    virtual.run("vsetuserquota", f"full@{shared}", "NOQUOTA")
    word, text = mark()
    inject(virtual, f"ann@{shared}", f"full@{shared}", text + 4000 * b"x" + b"\n")
    assert arrived(virtual, f"full@{shared}", word)


def test_whoever_has_little_room_left_is_warned(virtual):
    name = virtual.add_domain()
    directory = virtual.domain_directory(name)
    with open(f"{directory}/.quotawarn.msg", "w", encoding="ascii") as f:
        f.write("Subject: little room left\n\nclean up\n")
    os.chown(f"{directory}/.quotawarn.msg", os.stat(directory).st_uid, os.stat(directory).st_gid)
    joe = virtual.add_user(f"joe@{name}", "-q", "20000")
    for size in (18200, 10):                             # the first is there when the second comes
        word, text = mark()
        smtp(virtual, joe, text + (size // 10) * b"123456789\n")
        assert arrived(virtual, joe, word)
    assert arrived(virtual, joe, b"Subject: little room left\n")
    with open(f"{virtual.user_directory(joe)}/Maildir/maildirsize", encoding="ascii") as f:
        lines = f.read().split("\n")
    assert lines[0] == "20000S"


# ------------------------------------------------------------------ changes

def test_who_may_not_log_in(virtual, shared):
    lost = virtual.add_domain()
    accounts = [virtual.add_user(f"{name}@{shared}") for name in ("webmail", "pop", "changing", "leaving", "back")]
    webmail, pop, changing, leaving, back = accounts
    everybody = [(address, PASSWORD) for address in (*accounts, f"postmaster@{lost}")]
    assert refused(virtual, *everybody) == []
    virtual.run("vmoduser", "-w", webmail)              # what comes from this machine counts as webmail
    virtual.run("vmoduser", "-p", "-w", pop)
    virtual.run("vpasswd", changing, "After-7")
    virtual.run("vdeluser", leaving)
    virtual.run("vdeldomain", lost)
    virtual.run("vmoduser", "-p", "-w", back)
    virtual.run("vmoduser", "-x", back)
    strangers = [(f"joe@{shared}", "wrong"), (f"nobody@{shared}", PASSWORD), ("joe@no-such-domain.test", PASSWORD)]
    good = [(changing, "After-7"), (f"joe@{shared}", PASSWORD), (back, PASSWORD)]
    bad = [who for who in everybody if who[0] != back] + strangers
    assert refused(virtual, *good, *bad) == bad


def test_mail_of_a_locked_account_bounces(virtual, shared):
    locked = virtual.add_user(f"locked@{shared}")
    virtual.run("vmoduser", "-b", locked)
    word, text = mark()
    inject(virtual, f"ann@{shared}", locked, text)
    assert b"account is locked email bounced" in arrived(virtual, f"ann@{shared}", word)


def test_a_deleted_user_is_gone(virtual, shared):
    gone = virtual.add_user(f"gone@{shared}")
    word, text = mark()
    smtp(virtual, gone, text)
    assert arrived(virtual, gone, word)
    directory = virtual.user_directory(gone)
    virtual.run("vdeluser", gone)
    assert not os.path.exists(directory)
    word, text = mark()
    inject(virtual, f"ann@{shared}", gone, text)
    assert NO_MAILBOX in arrived(virtual, f"ann@{shared}", word)
    assert not os.path.exists(directory)


# ------------------------------------------------------------------ domains come and go

def everything(virtual):
    """{path: content} of all that domains are written into; how many domains there are counts .dir-control."""
    found = {}
    for top in (f"{virtual.home}/control", f"{virtual.home}/users", f"{virtual.home}/alias", f"{virtual.place}/domains"):
        for where, directories, names in os.walk(top):
            found.update((f"{where}/{name}/", None) for name in directories)
            for name in names:
                with open(f"{where}/{name}", "rb") as f:
                    found[f"{where}/{name}"] = f.read()
    return found


def test_of_a_deleted_domain_nothing_is_left(virtual, shared):
    virtual.remove(virtual.add_domain())                # what the first domain makes for all that follow is there
    before = everything(virtual)
    name, other = virtual.add_domain(), virtual.new_name()
    virtual.run("vaddaliasdomain", name, other)
    joe = virtual.add_user(f"joe@{name}")
    virtual.run("valias", "-i", f"&joe@{name}", f"sales@{name}")
    word, text = mark()
    smtp(virtual, f"sales@{name}", text)
    assert arrived(virtual, joe, word)
    assert may_log_in(virtual, joe)
    virtual.run("vdeldomain", "-f", name)
    assert everything(virtual) == before
    for lost in (name, other):
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            smtp(virtual, f"joe@{lost}")


def test_a_domain_with_other_names_is_not_deleted_by_mistake(virtual):
    name, other = virtual.add_domain(), virtual.new_name()
    virtual.run("vaddaliasdomain", name, other)
    assert other in virtual.run("vdeldomain", name)
    assert {name, other} <= set(virtual.domains())


def test_only_qmail_send_is_told(virtual):
    """vpopmail signals every process in whose line it reads qmail-send."""
    stranger = subprocess.Popen(["/bin/sh", "-c", "exec sleep 1000 # qmail-send"], executable="/bin/sh")
    named = subprocess.Popen(["qmail-send", "1000"], executable="/bin/sleep")
    sender = virtual.pid("send")
    name = virtual.add_domain()
    word, text = mark()
    smtp(virtual, f"postmaster@{name}", text)           # which only a qmail-send that was told takes as its own
    assert arrived(virtual, f"postmaster@{name}", word)
    for other in (stranger, named):
        other.terminate()
        assert other.wait(60) == -signal.SIGTERM        # had HUP come before, it had ended by that
    assert virtual.pid("send") == sender
