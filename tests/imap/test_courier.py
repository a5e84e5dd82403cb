"""Mail read through Debian's Courier IMAP, whose users are those of our virtual domains."""
import concurrent.futures
import imaplib
import os
import re
import smtplib
import subprocess

import pytest

from tests.peers.virtual import PASSWORD

pytestmark = [pytest.mark.system, pytest.mark.root]
MESSAGE = "From: sender@there.test\nTo: joe\nSubject: {}\n\nhello\n"


@pytest.fixture
def joe(virtual, domain):
    """A new user of the domain: his address."""
    return virtual.add_user(f"u{os.urandom(4).hex()}@{domain}")


def deliver(virtual, address, subject="one"):
    with smtplib.SMTP("127.0.0.1", virtual.smtp, timeout=60) as smtp:
        smtp.sendmail("sender@there.test", [address], MESSAGE.format(subject))


def subjects(client):
    """Of all messages of the selected folder."""
    client.noop()
    _, [numbers] = client.search(None, "ALL")
    if not numbers:
        return []
    _, parts = client.fetch(numbers.replace(b" ", b",").decode(), "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    return [part[1].split(b":")[1].strip().decode() for part in parts if isinstance(part, tuple)]


def test_a_message_comes_in_and_is_read(courier, virtual, joe):
    deliver(virtual, joe)
    client = courier.login(joe)
    client.select()
    virtual.wait(lambda: subjects(client) == ["one"])
    _, parts = client.fetch("1", "(FLAGS BODY[])")
    assert b"hello\r\n" in parts[0][1] and b"Delivered-To: " + joe.encode() in parts[0][1]
    client.logout()


def test_new_mail_while_the_client_is_idle(courier, virtual, joe):
    client = courier.login(joe)
    assert client.select() == ("OK", [b"0"])
    client.send(b"i1 IDLE\r\n")
    assert client.readline().startswith(b"+")
    deliver(virtual, joe, "while idle")
    while not re.match(rb"\* 1 EXISTS", line := client.readline()):
        assert line, "the connection ended"         # imaplib's timeout ends the waiting
    client.send(b"DONE\r\n")
    while not (line := client.readline()).startswith(b"i1 "):
        assert line
    assert line.startswith(b"i1 OK") and subjects(client) == ["while idle"]
    client.logout()


def test_folders_are_those_of_maildirpp(courier, virtual, joe):
    client = courier.login(joe)
    where = f"{virtual.user_directory(joe)}/Maildir"
    for folder in ("INBOX.Sent", "INBOX.Sent.2001"):
        assert client.create(folder)[0] == client.subscribe(folder)[0] == "OK"
    for folder in (".Sent", ".Sent.2001"):
        assert {"cur", "new", "tmp", "maildirfolder"} <= set(os.listdir(f"{where}/{folder}"))
        assert os.stat(f"{where}/{folder}").st_uid == os.stat(where).st_uid
    assert sorted(re.findall(rb'"(INBOX[^"]*)"', b" ".join(client.list()[1]))) == [
        b"INBOX", b"INBOX.Sent", b"INBOX.Sent.2001"]
    assert client.append("INBOX.Sent", None, None, b"Subject: kept\r\n\r\nx\r\n")[0] == "OK"
    client.select("INBOX.Sent")
    assert subjects(client) == ["kept"]
    client.close()
    assert client.delete("INBOX.Sent.2001")[0] == "OK"
    assert os.path.isdir(f"{where}/.Sent") and not os.path.exists(f"{where}/.Sent.2001")
    client.logout()


def test_flags_stand_in_the_names(courier, virtual, joe):
    deliver(virtual, joe)
    client = courier.login(joe)
    client.select()
    virtual.wait(lambda: subjects(client) == ["one"])
    assert client.store("1", "+FLAGS", r"(\Seen \Flagged)")[0] == "OK"
    where = f"{virtual.user_directory(joe)}/Maildir"
    assert [name.partition(":2,")[2] for name in os.listdir(f"{where}/cur")] == ["FS"]
    client.store("1", "+FLAGS", r"(\Deleted)")
    client.expunge()
    assert subjects(client) == [] and os.listdir(f"{where}/cur") == []
    client.logout()


def test_quota(courier, virtual, domain):
    address = virtual.add_user(f"q{os.urandom(4).hex()}@{domain}", "-q", "20000S,3C")
    client = courier.login(address)
    _, (_, [quota]) = client.getquotaroot("INBOX")
    assert b"STORAGE 0 20" in quota and b"MESSAGE 0 3" in quota
    assert client.append("INBOX", None, None, b"Subject: a\r\n\r\n" + b"x" * 9000)[0] == "OK"
    answer, [text] = client.append("INBOX", None, None, b"Subject: b\r\n\r\n" + b"x" * 19000)
    assert answer == "NO" and b"quota" in text
    client.logout()


@pytest.fixture(scope="module", autouse=True)
def refused(courier, virtual, domain):
    """What happens to a client with a wrong password, then the right one; Courier waits some seconds in between,
    meanwhile other tests go on."""
    address = virtual.add_user(f"w{os.urandom(4).hex()}@{domain}")

    def attempt():
        client = courier.connect()
        with pytest.raises(imaplib.IMAP4.error) as why:
            client.login(address, "wrong")
        client.login(address, PASSWORD)
        client.logout()
        return str(why.value)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        yield pool.submit(attempt)


def test_a_user_without_imap(courier, virtual, joe):
    virtual.run("vmoduser", "-i", joe)
    client = courier.connect()
    with pytest.raises((imaplib.IMAP4.error, OSError)):
        client.login(joe, PASSWORD)
        client.select()
    virtual.run("vmoduser", "-x", joe)
    courier.login(joe).logout()


def test_a_challenge_in_place_of_the_password(courier, virtual, clear_passwords, domain):
    with clear_passwords():
        address = virtual.add_user(f"c{os.urandom(4).hex()}@{domain}")
    client = courier.connect()
    assert "AUTH=CRAM-MD5" in client.capabilities
    assert client.login_cram_md5(address, PASSWORD)[0] == "OK"
    assert client.select() == ("OK", [b"0"])
    client.logout()


def test_tls_from_the_start_and_on_request(courier, virtual, joe):
    """Both with the certificate that mkimapdcert made: no other is trusted."""
    client = courier.connect_tls()
    client.login(joe, PASSWORD)
    client.logout()
    client = courier.connect()
    assert client.starttls(courier.trust())[0] == "OK"
    client.authenticate("PLAIN", lambda _: f"\0{joe}\0{PASSWORD}".encode())
    assert client.select()[0] == "OK"
    client.logout()


def test_mbsync(courier, virtual, joe, tmp_path):
    """A second real client, over TLS: down with the message, up with the flag."""
    deliver(virtual, joe, "synchronised")
    client = courier.login(joe)
    client.select()
    virtual.wait(lambda: subjects(client) == ["synchronised"])
    (tmp_path / "mail").mkdir()
    (tmp_path / "rc").write_text(f"""\
IMAPAccount ours
Host 127.0.0.1
Port {courier.imaps}
User {joe}
Pass {PASSWORD}
SSLType IMAPS
AuthMechs LOGIN
CertificateFile {courier.tree}/share/imapd.pem
SystemCertificates no

IMAPStore far
Account ours

MaildirStore near
Path {tmp_path}/mail/
Inbox {tmp_path}/mail/INBOX

Channel inbox
Far :far:INBOX
Near :near:INBOX
Create Near
Sync All
SyncState *
""")

    def mbsync():
        done = subprocess.run(["mbsync", "-c", tmp_path / "rc", "inbox"], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
    mbsync()
    [name] = os.listdir(tmp_path / "mail/INBOX/new")
    with open(tmp_path / "mail/INBOX/new" / name, encoding="ascii") as f:
        assert "Subject: synchronised\n" in f.read()
    os.rename(tmp_path / "mail/INBOX/new" / name, tmp_path / "mail/INBOX/cur" / (name.partition(":")[0] + ":2,FS"))
    mbsync()
    client.noop()
    assert rb"\Flagged" in client.fetch("1", "(FLAGS)")[1][0]
    client.logout()


def test_a_login_opens_the_relay(courier, virtual, joe):
    courier.auth(joe, ip="203.0.113.77")
    with open(f"{virtual.place}/etc/open-smtp", encoding="ascii") as f:
        assert "203.0.113.77:allow,RELAYCLIENT" in f.read()
    with open(f"{virtual.user_directory(joe)}/lastauth", encoding="ascii") as f:
        assert f.read() == "203.0.113.77"


def test_a_domain_of_another_uid(courier, virtual, person):
    """Its mail is read as its owner."""
    name = virtual.add_domain("-u", person.name)
    try:
        address = f"postmaster@{name}"
        client = courier.login(address)
        assert client.create("INBOX.Mine")[0] == "OK"
        where = f"{virtual.user_directory(address)}/Maildir/.Mine"
        assert os.stat(where).st_uid == os.stat(person.home).st_uid
        client.logout()
    finally:
        virtual.remove(name)


def test_a_wrong_password_is_refused_and_the_next_may_be_right(refused):
    assert refused.result(120) == "b'Login failed.'"        # not: temporary
