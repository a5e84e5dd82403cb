"""Programs that send through /usr/sbin/sendmail, as Debian ships them or in the words they use for it."""
import os

import pytest

from tests.thirdparty.conftest import tool

pytestmark = [pytest.mark.root, pytest.mark.system]


def body(message):
    return message.partition(b"\n\n")[2]


def sent(done):
    assert (done.returncode, done.stderr) == (0, b""), done


# ---------------------------------------------------------------- mail readers, with nothing set but the recipient

def test_mutt(host, people):
    sender, reader = people(), people()
    sender.file("letter.bin", "an attachment\n")
    sent(host.run(tool("mutt"), "-n", "-s", "from mutt", "-a", "letter.bin", "--", reader.name, user=sender,
                  input=b"dear reader\n"))
    [message] = host.wait(reader.messages)
    assert message.startswith(b"Return-Path: <%b@" % sender.name.encode())
    assert b"\nSubject: from mutt\n" in message and b"multipart/mixed" in message and b"dear reader\n" in message


def test_mutt_sets_the_envelope_sender(host, people):
    """-f, 8-bit text, and a Bcc that nobody may see."""
    sender, reader, other = people(), people(), people()
    settings = ("use_envelope_from envelope_from_address=me@a.example use_8bitmime allow_8bit "
                "charset=utf-8 send_charset=utf-8")
    sent(host.run(tool("mutt"), "-n", "-e", f"set {settings}",
                  "-s", "hi", "-b", other.name, "--", reader.name, user=sender, env={"LC_ALL": "C.UTF-8"},
                  input="caf\xe9\n".encode()))
    for who in (reader, other):
        [message] = host.wait(who.messages)
        assert message.startswith(b"Return-Path: <me@a.example>\n") and "caf\xe9\n".encode() in message
        assert b"\nBcc:" not in message


def test_s_nail(host, people):
    sender, reader = people(), people()
    sent(host.run(tool("s-nail"), "-n", "-S", "sendwait", "-r", f"{sender.name}@b.example", "-s", "from mailx",
                  reader.name, user=sender, input=b"dear reader\n"))
    [message] = host.wait(reader.messages)
    assert b"\nSubject: from mailx\n" in message and body(message) == b"dear reader\n"
    assert message.startswith(b"Return-Path: <%b@b.example>\n" % sender.name.encode())


def test_bsd_mailx(host, people):
    sender, reader, other = people(), people(), people()
    sent(host.run(tool("bsd-mailx"), "-s", "from mailx", "-c", other.name, reader.name, user=sender,
                  input=b"dear reader\n.\nno end\n"))
    for who in (reader, other):
        [message] = host.wait(who.messages)
        assert b"\nSubject: from mailx\n" in message and body(message) == b"dear reader\n.\nno end\n"


@pytest.mark.parametrize("way", ["sendmail/pipe", "sendmail/smtp"])
def test_nmh(host, people, way):
    """send(1) over a pipe (sendmail -t) and in SMTP with sendmail -bs."""
    sender, reader, other = people(), people(), people()
    sender.file(".mh_profile", "Path: Mail\n")
    sender.file("draft", f"From: {sender.name}\nTo: {reader.name}\nBcc: {other.name}\nSubject: from nmh\n\n"
                         "dear reader\n.\nend\n")
    send = "/usr/bin/mh/send"
    assert os.path.exists(send), "no send: apt-get install nmh"
    done = host.run(send, "-mts", way, "-sendmail", "/usr/sbin/sendmail", f"{sender.home}/draft", user=sender)
    assert done.returncode == 0, done
    [message], [_] = host.wait(reader.messages), host.wait(other.messages)
    assert b"\nSubject: from nmh\n" in message and b"\nBcc:" not in message
    assert body(message) == b"dear reader\n.\nend\n"


def test_git_send_email(host, people):
    sender, reader = people(), people()
    git = tool("git")
    assert os.path.exists("/usr/lib/git-core/git-send-email"), "no git send-email: apt-get install git-email"
    sender.file("0001.patch", "From 0 Mon Sep 17 00:00:00 2001\nFrom: A U Thor <thor@b.example>\n"
                              "Date: Thu, 7 Apr 2005 22:14:13 -0700\n"
                              "Subject: [PATCH] fix\n\nwhy\n---\n a | 1 +\n")
    done = host.run(git, "-c", f"user.email={sender.name}@localhost", "-c", f"user.name={sender.name}", "send-email",
                    "--confirm=never", "--sendmail-cmd", "/usr/sbin/sendmail -i",
                    "--to", reader.name, "0001.patch", user=sender)
    assert done.returncode == 0, done
    [message] = host.wait(reader.messages)
    assert b"\nSubject: [PATCH] fix\n" in message and b"\nX-Mailer: git-send-email" in message


# ---------------------------------------------------------------- the calls of programs that are no mail readers

@pytest.mark.parametrize("words, to", [
    (["-t", "-i"], True),                                       # PHP's mail()
    (["-t", "-i", "-fweb@b.example"], True),                    # PHP's fifth argument
    (["-t", "-oi", "-f", "web@b.example"], True),               # reportbug, debsign and many a script
    (["-i", "-FCronDaemon", "-B8BITMIME", "-oem", "READER"], False),                # cron
    (["-FAnacron", "READER"], False),                           # anacron
    (["-oi", "-oem", "-odb", "-om", "-or8h", "--", "READER"], False),
    (["-bm", "-v", "-odi", "READER"], False),
    (["-oi", "-t", "-oem", "-eq"], True),
])
def test_calls(host, people, words, to):
    sender, reader = people(), people()
    header = f"From: {sender.name} (Cron Daemon)\n" + f"To: {reader.name}\n" * to + "Subject: job\n"
    done = host.run("/usr/sbin/sendmail", *(reader.name if word == "READER" else word for word in words), user=sender,
                    input=f"{header}\nline\n.\nend\n".encode())
    sent(done)
    [message] = host.wait(reader.messages)
    assert body(message) == b"line\n.\nend\n" and b"\nSubject: job\n" in message
    assert message.startswith(b"Return-Path: <web@b.example>\n") == ("web@b.example" in " ".join(words))


def test_cron(host, people, tmp_path):
    """Debian's cron itself: what a job at start-up prints comes by mail."""
    cron, owner, reader = tool("cron"), people(), people()
    crontabs = tmp_path / "crontabs"
    for directory in (crontabs, tmp_path / "cron.d", tmp_path / "run"):
        directory.mkdir()
    (tmp_path / "empty").touch()
    table = crontabs / owner.name
    table.write_text(f"MAILTO={reader.name}\n@reboot echo caf\xe9\n", encoding="utf-8")
    os.chmod(table, 0o600)
    script = 'mount --bind "$1/crontabs" /var/spool/cron/crontabs; mount --bind "$1/cron.d" /etc/cron.d; ' \
             'mount --bind "$1/run" /run; [ ! -e /etc/crontab ] || mount --bind "$1/empty" /etc/crontab; exec "$2" -f'
    with host.daemon("unshare", "--mount", "sh", "-c", script, "sh", str(tmp_path), cron, ready=reader.messages):
        [message] = reader.messages()
    assert body(message) == "caf\xe9\n".encode() and b" (Cron Daemon)\n" in message
    assert b"\nSubject: Cron <%b@" % owner.name.encode() in message
