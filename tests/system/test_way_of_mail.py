"""The way of a message through a running system, with the programs people use at both ends."""
import os
import poplib
import re
import shutil
import smtplib
import subprocess

import pytest

from tests.peers.ports import free_port
from tests.peers.smtp_host import Host

pytestmark = [pytest.mark.root, pytest.mark.system]


def needs(program):
    return pytest.mark.skipif(shutil.which(program) is None and not os.path.exists(f"/usr/sbin/{program}"),
                              reason=f"no {program} on this machine")


def run(*argv, **options):
    return subprocess.run(argv, **{"capture_output": True, "timeout": 60, "stdin": subprocess.DEVNULL, **options})


def body(message):
    return message.partition(b"\n\n")[2]


# ---------------------------------------------------------------- in

@needs("swaks")
def test_swaks(mail, person):
    done = run("swaks", "--server", f"127.0.0.1:{mail.system.smtp}", "--to", person.address,
               "--from", "s@a.example", "--body", "from swaks\n.\n..dots\n")
    assert done.returncode == 0, done.stdout
    [message] = mail.wait(person.messages)
    assert body(message).startswith(b"from swaks\n.\n..dots\n")


@needs("smtp-source")
def test_smtp_source(mail, person):
    """Many sessions at once: each message arrives once."""
    path = shutil.which("smtp-source", path=os.environ["PATH"] + ":/usr/sbin")
    done = run(path, "-s", "8", "-m", "60", "-l", "3000", "-f", "s@a.example", "-t", person.address,
               f"inet:127.0.0.1:{mail.system.smtp}")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    mail.wait(lambda: len(person.messages()) == 60)
    mail.settled()
    assert len(person.messages()) == 60
    assert all(message.startswith(b"Return-Path: <s@a.example>\n") for message in person.messages())


def test_extensions_and_limits_of_smtp(mail, person):
    mail.control("databytes", "5000")
    mail.reload()
    with mail.smtp() as smtp:
        assert smtp.ehlo()[0] == 250
        assert smtp.has_extn("pipelining") and smtp.has_extn("8bitmime")
        with pytest.raises(smtplib.SMTPDataError) as refused:
            smtp.sendmail("s@a.example", person.address, b"Subject: x\r\n\r\n" + b"x" * 78 + b"\r\n" * 6000)
        assert refused.value.smtp_code == 552
        assert refused.value.smtp_error == b"sorry, that message size exceeds my databytes limit (#5.3.4)"
        smtp.sendmail("s@a.example", person.address, b"Subject: \xe9\r\n\r\n8 bits \xff\r\n")
    [message] = mail.wait(person.messages)
    assert b"Subject: \xe9\n\n8 bits \xff\n" in message


def test_received_lines(mail, person):
    mail.send("s@a.example", person.address)
    [message] = mail.wait(person.messages)
    assert re.fullmatch(
        rb"Return-Path: <s@a\.example>\nDelivered-To: %b@localhost\n"
        rb"Received: \(qmail \d+ invoked from network\); \d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d -0000\n"
        rb"Received: from [^\n]* \(HELO client\.test\) \(127\.0\.0\.1\)\n  by [^\n]+ with SMTP; [^\n]+ -0000\n"
        rb"Subject: test\n\nhello\n" % person.name.encode(), message), message


def test_sendmail_of_another_user(mail, people):
    sender, reader = people(), people()
    done = mail.sendmail(sender, "-F", "The Sender", "-t",
                         text=f"To: {reader.address}\nBcc: {sender.address}\nSubject: hi\n\nhello\n".encode())
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    [message], [own] = mail.wait(reader.messages), mail.wait(sender.messages)
    assert b"\nReceived: (qmail " in message and b" invoked by uid %d); " % sender.uid in message
    assert b"\nFrom: \"The Sender\" <%b@" % sender.name.encode() in message
    assert b"Bcc" not in message and message.startswith(b"Return-Path: <%b@" % sender.name.encode())
    assert body(own) == body(message)


def test_sendmail_speaks_smtp(mail, people):
    sender, reader = people(), people()
    talk = (f"EHLO me\r\nMAIL FROM:<{sender.address}>\r\nRCPT TO:<{reader.address}>\r\nDATA\r\n"
            "Subject: x\r\n\r\nx\r\n.\r\nQUIT\r\n")
    done = mail.sendmail(sender, "-bs", text=talk.encode())
    codes = [line[:3] for line in done.stdout.splitlines() if line[3:4] == b" "]
    assert codes == [b"220", b"250", b"250", b"250", b"354", b"250", b"221"]
    mail.wait(reader.messages)


@needs("mutt")
def test_mutt(mail, people):
    sender, reader = people(), people()
    attached = f"{sender.home}/letter.bin"
    sender.file("letter.bin", "an attachment\n")
    done = run("runuser", "-u", sender.name, "--", "mutt", "-n", "-F", "/dev/null",
               "-e", f'set sendmail="{mail.home}/bin/sendmail -oem -oi"', "-e", "set copy=no", "-s", "from mutt",
               "-a", attached, "--", reader.address, input=b"dear reader\n", stdin=None,
               env={**os.environ, "HOME": sender.home, "TERM": "dumb"})
    assert done.returncode == 0, done.stderr
    [message] = mail.wait(reader.messages)
    assert b"\nSubject: from mutt\n" in message and b"multipart/mixed" in message and b"dear reader\n" in message


@needs("s-nail")
def test_s_nail(mail, people):
    sender, reader = people(), people()
    done = run("runuser", "-u", sender.name, "--", "s-nail", "-n", "-S", f"mta={mail.home}/bin/sendmail",
               "-S", "sendwait", "-s", "from mailx", reader.address, input=b"dear reader\n", stdin=None,
               env={**os.environ, "HOME": sender.home})
    assert done.returncode == 0, done.stderr
    [message] = mail.wait(reader.messages)
    assert b"\nSubject: from mailx\n" in message and body(message) == b"dear reader\n"


# ---------------------------------------------------------------- to the reader

def test_poplib(mail, person):
    for number in range(3):
        mail.send("s@a.example", person.address, text=b"Subject: %d\r\n\r\n.dot\r\n..\r\nend\r\n" % number)
    mail.wait(lambda: len(person.messages()) == 3)

    def login():
        mailbox = poplib.POP3("127.0.0.1", mail.system.pop3, timeout=60)
        mailbox.user(person.name)
        mailbox.pass_(person.password)
        return mailbox
    mail.wait(lambda: login().stat()[0] == 3)       # a message shows from the second after its arrival
    mailbox = login()
    lines = mailbox.retr(2)[1]
    blank = lines.index(b"")
    assert lines[blank + 1:blank + 4] == [b".dot", b"..", b"end"]
    assert len(mailbox.uidl()[1]) == 3 and mailbox.top(1, 1)[1].count(b".dot") == 1
    mailbox.dele(2)
    mailbox.quit()
    assert len(person.messages()) == 2
    assert login().stat()[0] == 2


@needs("fetchmail")
def test_fetchmail(mail, people):
    """Fetched by POP3 and handed to sendmail, by another user for himself."""
    owner, collector = people(), people()
    mail.send("s@a.example", owner.address, text=b"Subject: fetch me\r\n\r\nhello\r\n")
    mail.wait(owner.messages)
    collector.file("fetchmailrc", f"poll 127.0.0.1 protocol pop3 service {mail.system.pop3} "
                   f'user "{owner.name}" password "{owner.password}" '
                   f'no sslcertck sslproto "" mda "{mail.home}/bin/sendmail -i {collector.name}"\n')

    def fetch():
        done = run("runuser", "-u", collector.name, "--", "fetchmail", "--nodetach",
                   "--pidfile", f"{collector.home}/pid", "-f", f"{collector.home}/fetchmailrc",
                   env={**os.environ, "HOME": collector.home})
        assert done.returncode in (0, 1), done.stderr + done.stdout       # 1: nothing there yet
        return done.returncode == 0
    mail.wait(fetch)
    [message] = mail.wait(collector.messages)
    assert b"\nSubject: fetch me\n" in message
    assert owner.messages() == []


# ---------------------------------------------------------------- out

@needs("smtp-sink")
def test_out_by_smtproutes(mail, person, tmp_path):
    """Postfix's sink takes what goes to the other host."""
    port = free_port()
    os.chmod(tmp_path, 0o777)
    program = shutil.which("smtp-sink", path=os.environ["PATH"] + ":/usr/sbin")
    sink = subprocess.Popen([program, "-u", "nobody", "-R", str(tmp_path), "-d", "mail.",
                             f"inet:127.0.0.1:{port}", "100"], stderr=subprocess.DEVNULL)
    try:
        mail.control("smtproutes", f"far.test:[127.0.0.1]:{port}")
        mail.wait(lambda: listening(port))
        done = mail.sendmail(person, "-f", person.address, "joe@far.test", "sue@far.test",
                             text=b"Subject: out\n\n.dot\n\r\nend")
        assert done.returncode == 0
        mail.settled()
        taken = [open(tmp_path / name, "rb").read() for name in os.listdir(tmp_path)]
        assert len(taken) == 2 and person.messages() == []
        assert all(b"Subject: out\n\n.dot\n\nend\n" in text.replace(b"\r\n", b"\n") for text in taken), taken
    finally:
        sink.terminate()
        sink.wait()


def listening(port):
    with open("/proc/net/tcp", encoding="ascii") as f:
        return any(f"0100007F:{port:04X} 00000000:0000 0A" in line for line in f)


def test_what_the_other_host_is_told(mail, person):
    with Host() as host:
        mail.control("smtproutes", f"far.test:[127.0.0.1]:{host.port}")
        mail.send(person.address, "Joe@far.test", "sue@far.test", text=b"Subject: x\r\n\r\n.dot\r\n\xff\r\n")
        mail.settled()
    assert sorted(recipients for _, recipients, _ in host.messages) == [[b"TO:<Joe@far.test>"], [b"TO:<sue@far.test>"]]
    for sender, _, text in host.messages:
        assert sender == f"FROM:<{person.name}@localhost>".encode()
        assert text.endswith(b"\r\nSubject: x\r\n\r\n.dot\r\n\xff\r\n") and text.count(b"\n") == text.count(b"\r\n")
    assert "success: 127.0.0.1_accepted_message./Remote_host_said:_250_taken/" in mail.log()


# ---------------------------------------------------------------- who gets it

def test_user_extensions(mail, person):
    person.file(".qmail-list", "./list/\n")
    person.file(".qmail-default", "./rest/\n")
    for name in ("list", "rest"):
        run("runuser", "-u", person.name, "--", f"{mail.home}/bin/maildirmake", f"{person.home}/{name}")
    mail.send("s@a.example", *(f"{name}@localhost" for name in (
        f"{person.name}-list", f"{person.name}-any-thing", person.name.upper())))
    mail.settled()
    for where, recipient in (("list", f"{person.name}-list"), ("rest", f"{person.name}-any-thing"),
                             ("Maildir", person.name.upper())):
        [name] = os.listdir(f"{person.home}/{where}/new")
        with open(f"{person.home}/{where}/new/{name}", "rb") as f:
            assert f"\nDelivered-To: {recipient}@localhost\n".encode() in f.read()


def test_alias(mail, person, alias_file):
    alias_file("pyqmail-test", f"&{person.name}\n")
    alias_file("pyqmail-test-default", f"&{person.name}\n")
    mail.send("s@a.example", "PyQmail-Test@localhost", "pyqmail-test-anything@localhost")
    mail.settled()
    assert sorted(re.findall(rb"Delivered-To: ([^\n]+)@[^\n]+\n", b"".join(person.messages()))) == sorted([
        person.name.encode(), b"PyQmail-Test", person.name.encode(), b"pyqmail-test-anything"])


def test_commands_run_as_the_user(mail, person):
    person.file(".qmail", '|id > id; env | sort > env; cat > text; printf "%s\\n" "said so"; exit 0\n./Maildir/\n')
    mail.send("s-ender@a.example", person.address)
    mail.wait(person.messages)
    read = {name: open(f"{person.home}/{name}", encoding="utf-8").read() for name in ("id", "env", "text")}
    uid, gid = (f"{number}({person.name})" for number in (person.uid, person.gid))
    assert read["id"] == f"uid={uid} gid={gid} groups={gid}\n"
    variables = dict(line.split("=", 1) for line in read["env"].splitlines() if "=" in line)
    assert {"USER": person.name, "HOME": person.home, "LOCAL": person.name, "HOST": "localhost", "EXT": "",
            "SENDER": "s-ender@a.example", "RECIPIENT": person.address}.items() <= variables.items()
    assert read["text"].endswith("\nSubject: test\n\nhello\n")
    assert "success: said_so/did_1+0+1/" in mail.log()


def test_virtual_domains_and_users(mail, person):
    mail.control("virtualdomains", "\n".join(f"{domain}:{person.name}-{prepend}" for domain, prepend in (
        ("virtual.test", "v"), ("one@user.test", "o"), (".sub.test", "s"))))
    mail.control("rcpthosts", "virtual.test\nuser.test\n.sub.test\nlocalhost")
    mail.reload()
    person.file(".qmail-v-info", "./Maildir/\n")
    person.file(".qmail-o-one", "./Maildir/\n")
    person.file(".qmail-s-default", "./Maildir/\n")
    mail.send("s@a.example", "Info@Virtual.Test", "one@user.test", "x@deep.sub.test")
    mail.settled()
    assert sorted(re.findall(rb"Delivered-To: ([^\n]+)\n", b"".join(person.messages()))) == sorted(
        f"{person.name}-{rest}".encode() for rest in ("v-Info@Virtual.Test", "o-one@user.test", "s-x@deep.sub.test"))


def test_percenthack(mail, person):
    mail.control("percenthack", "localhost")
    mail.restart()
    with Host() as host:
        mail.control("smtproutes", f":[127.0.0.1]:{host.port}")
        mail.send("s@a.example", "joe%far.test@localhost", f"{person.name}%localhost@localhost")
        mail.settled()
    assert [recipients for _, recipients, _ in host.messages] == [[b"TO:<joe@far.test>"]]
    assert len(person.messages()) == 1


def test_mailing_list_and_its_owner(mail, people):
    """A list with -owner: bounces of members go to the owner, not to the author."""
    owner, member, author = people(), people(), people()
    owner.file(".qmail-list", f"&{member.name}@localhost\n&nobody-of-that-name@localhost\n")
    owner.file(".qmail-list-owner", "./Maildir/\n")
    mail.send(author.address, f"{owner.name}-list@localhost")
    [message], [bounce] = mail.wait(member.messages), mail.wait(owner.messages)
    assert message.startswith(f"Return-Path: <{owner.name}-list-owner@localhost>\n".encode())
    assert b"<nobody-of-that-name@localhost>:\nSorry, no mailbox here by that name. (#5.1.1)\n" in bounce
    mail.settled()
    assert author.messages() == []


def test_verp(mail, people):
    """With -owner-default each member has a sender address of its own; of failures here the owner hears at once."""
    owner, member = people(), people()
    owner.file(".qmail-list", f"&{member.name}@localhost\n&nobody-of-that-name@localhost\n")
    owner.file(".qmail-list-owner", "")
    owner.file(".qmail-list-owner-default", "./Maildir/\n")
    mail.send("s@a.example", f"{owner.name}-list@localhost")
    [message], [bounce] = mail.wait(member.messages), mail.wait(owner.messages)
    assert message.startswith(f"Return-Path: <{owner.name}-list-owner-{member.name}=localhost@localhost>\n".encode())
    assert b"\nDelivered-To: %b-list-owner-@localhost\n" % owner.name.encode() in bounce
    mail.send("", f"{owner.name}-list-owner-{member.name}=localhost@localhost")       # a bounce from afar
    mail.wait(lambda: len(owner.messages()) == 2)


def test_loops_end(mail, people):
    one, two = people(), people()
    one.file(".qmail", f"&{two.name}\n")
    two.file(".qmail", f"&{one.name}\n")
    sender = people()
    mail.send(sender.address, one.address)
    [bounce] = mail.wait(sender.messages)
    assert b"This message is looping: it already has my Delivered-To line. (#5.4.6)\n" in bounce


# ---------------------------------------------------------------- who may send where

def test_relaying(mail, person):
    """rcpthosts for strangers; RELAYCLIENT by the rules for those who may."""
    with Host() as host:
        mail.control("smtproutes", f":[127.0.0.1]:{host.port}")
        mail.control("tcp.smtp", '127.0.0.2:allow,RELAYCLIENT="@by.rule"\n127.0.0.3:deny\n:allow')
        assert mail.ctl("cdb")[0] == 0
        no = 553, b"sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)"
        assert mail.answer("s@a.example", "joe@far.test") == no
        assert mail.answer("s@a.example", person.address)[0] == 250
        with mail.smtp(source_address=("127.0.0.2", 0)) as smtp:
            smtp.sendmail("s@a.example", "joe@far.test", b"Subject: x\r\n\r\nx\r\n")
        with pytest.raises((smtplib.SMTPException, OSError)), mail.smtp(source_address=("127.0.0.3", 0)) as smtp:
            smtp.noop()
        mail.settled()
    assert [recipients for _, recipients, _ in host.messages] == [[b'TO:<"joe@far.test"@by.rule>']]
