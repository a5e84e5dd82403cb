"""Debian's Dovecot on our accounts, through vchkpw as its checkpassword program: the configuration that `qmailctl imap
dovecot` writes, on ports of its own."""
import contextlib
import imaplib
import os
import poplib
import shutil
import smtplib
import socket
import ssl
import subprocess

import pytest

from tests.peers.ports import free_port
from tests.peers.virtual import PASSWORD

pytestmark = [pytest.mark.system, pytest.mark.root]
LOCAL = """service imap-login {
  inet_listener imap {
    address = 127.0.0.1
    port = PLAIN
  }
  inet_listener imaps {
    address = 127.0.0.1
    port = TLS
  }
}
protocols = imap pop3
service pop3-login {
  inet_listener pop3 {
    address = 127.0.0.1
    port = POP3
  }
  inet_listener pop3s {
    port = 0
  }
}
log_path = HOME/log/dovecot
auth_verbose = yes
default_process_limit = 20
default_client_limit = 100
mail_debug = yes
# For the tests: other addresses of this machine are this machine, and who fails often is not kept waiting.
login_trusted_networks = 127.0.0.0/8
auth_failure_delay = 0
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
"""
MESSAGE = "Subject: {}\n\nhello\n"


class Dovecot:
    """A running Dovecot: `port` and `tls` of IMAP, `pop3`, the path of its configuration."""

    def __init__(self, virtual):
        self.virtual, self.home = virtual, virtual.home
        self.port, self.tls, self.pop3 = free_port(), free_port(), free_port()
        self.config, self.log_path = f"{self.home}/imap/dovecot.conf", f"{self.home}/log/dovecot"
        for program in ("dovecot", "doveadm"):
            assert shutil.which(program), "no Dovecot: apt-get install dovecot-imapd dovecot-pop3d"

    def start(self):
        text = LOCAL.replace("PLAIN", str(self.port)).replace("TLS", str(self.tls)).replace("POP3", str(self.pop3))
        with open(f"{self.home}/imap/dovecot-local.conf", "w", encoding="ascii") as f:
            f.write(text.replace("HOME", self.home))
        self.process = subprocess.Popen(["dovecot", "-F", "-c", self.config], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.virtual.wait(self.answers)

    def answers(self):
        assert self.process.poll() is None, self.log()
        try:
            imaplib.IMAP4("127.0.0.1", self.port, timeout=60).logout()
            return True
        except OSError:
            return False

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(60)

    def log(self):
        with contextlib.suppress(FileNotFoundError), open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()
        return ""

    def doveadm(self, *words, status=0):
        done = subprocess.run(["doveadm", "-c", self.config, *words], capture_output=True, text=True, timeout=120)
        assert done.returncode == status, (words, done)
        return done.stdout

    @contextlib.contextmanager
    def login(self, name, password=PASSWORD, source=None):
        """imaplib's connection, logged in. source: the address to come from."""
        connection = From(source, self.port)
        try:
            connection.login(name, password)
            yield connection
        finally:
            with contextlib.suppress(OSError, imaplib.IMAP4.error):
                connection.logout()


class From(imaplib.IMAP4):
    """imaplib's client, from an address of choice."""

    def __init__(self, source, port):
        self._source = source
        super().__init__("127.0.0.1", port, timeout=60)

    def _create_socket(self, timeout):
        return socket.create_connection((self.host, self.port), timeout, (self._source, 0) if self._source else None)


@pytest.fixture(scope="module")
def dovecot(virtual):
    """Dovecot as `qmailctl imap dovecot` sets it up."""
    found = Dovecot(virtual)
    assert virtual.command("qmailctl", "imap", "dovecot").returncode == 0
    found.start()
    yield found
    found.stop()


@pytest.fixture(scope="module")
def domain(virtual):
    with virtual.options("passwd no\n"):        # PAM takes two seconds for each refusal
        yield virtual.add_domain()


@pytest.fixture
def joe(virtual, domain):
    """A new user of the domain: his address."""
    return virtual.add_user(f"u{os.urandom(4).hex()}@{domain}")


def deliver(virtual, address, subject="one"):
    with smtplib.SMTP("127.0.0.1", virtual.smtp, timeout=60) as smtp:
        smtp.sendmail("sender@there.test", [address], MESSAGE.format(subject))


def subjects(connection):
    """Of all messages of the selected folder."""
    _, found = connection.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    return [part[1].decode().strip().removeprefix("Subject: ") for part in found if isinstance(part, tuple)]


def test_setting_it_up_again_changes_nothing(dovecot, virtual):
    def picture():
        names = sorted(os.listdir(f"{virtual.home}/imap"))
        return [(name, os.stat(f"{virtual.home}/imap/{name}").st_mtime_ns) for name in names]
    before = picture()
    assert os.stat(certificate(dovecot)).st_mode & 0o777 == 0o600
    assert b"made" not in virtual.command("qmailctl", "imap", "dovecot").stdout
    assert picture() == before


def test_mail_in_and_read(dovecot, virtual, joe):
    deliver(virtual, joe)
    virtual.wait(lambda: virtual.messages(joe))
    with dovecot.login(joe) as connection:
        assert connection.select("INBOX") == ("OK", [b"1"])
        assert subjects(connection) == ["one"]
        connection.store("1", "+FLAGS", r"(\Flagged \Answered)")
    with dovecot.login(joe.upper()) as connection:
        connection.select("INBOX")
        assert {rb"\Flagged", rb"\Answered"} <= set(imaplib.ParseFlags(connection.fetch("1", "(FLAGS)")[1][0]))
    directory = virtual.user_directory(joe)
    [name] = os.listdir(f"{directory}/Maildir/cur")
    assert name.partition(":2,")[2].startswith("FR") and os.stat(f"{directory}/lastauth").st_size


def test_folders_are_maildir_plus_plus(dovecot, virtual, joe):
    with dovecot.login(joe) as connection:
        assert connection.namespace()[1] == [b'(("INBOX." ".")) NIL NIL']
        assert connection.create("INBOX.Sent")[0] == "OK" and connection.create("INBOX.Sent.2026")[0] == "OK"
        assert connection.append("INBOX.Sent", r"(\Seen)", None, b"Subject: mine\r\n\r\nx\r\n")[0] == "OK"
        assert connection.create("Elsewhere")[0] == "NO"
        names = {line.rpartition(b" ")[2] for line in connection.list()[1]}
        assert {b"INBOX", b"INBOX.Sent", b"INBOX.Sent.2026"} <= names
        directory = virtual.user_directory(joe)
        for folder in (".Sent", ".Sent.2026"):
            assert os.path.isfile(f"{directory}/Maildir/{folder}/maildirfolder")
        [message] = virtual.messages(joe, ".Sent")
        assert message == b"Subject: mine\n\nx\n"
        owner = os.stat(directory).st_uid
        assert {os.stat(f"{directory}/Maildir/{name}").st_uid for name in os.listdir(f"{directory}/Maildir")} == {owner}


def test_new_mail_while_the_client_is_idle(dovecot, virtual, joe):
    with dovecot.login(joe) as connection:
        assert connection.select("INBOX") == ("OK", [b"0"])
        connection.send(b"i IDLE\r\n")
        assert connection.readline().startswith(b"+")
        deliver(virtual, joe, "while idle")
        line = b""
        while b"EXISTS" not in line:        # the connection's timeout of a minute ends it otherwise
            line = connection.readline()
        assert line == b"* 1 EXISTS\r\n"
        connection.send(b"DONE\r\n")
        while not line.startswith(b"i "):
            line = connection.readline()
        assert line.startswith(b"i OK") and subjects(connection) == ["while idle"]


def test_quota(dovecot, virtual, domain):
    ann = virtual.add_user(f"q{os.urandom(4).hex()}@{domain}", "-q", "20000S,50C")
    with dovecot.login(ann) as connection:
        assert connection.append("INBOX", None, None, b"Subject: a\r\n\r\n" + b"x" * 10_000)[0] == "OK"
        status, [roots, [quota]] = connection.getquotaroot("INBOX")
        assert status == "OK" and roots == [b'INBOX "User quota"']
        words = quota.decode().replace("(", "").replace(")", "").split()
        assert words[words.index("STORAGE") + 2] == "20" and words[words.index("MESSAGE") + 1:][:2] == ["1", "50"]
        answer, [text] = connection.append("INBOX", None, None, b"Subject: b\r\n\r\n" + b"x" * 15_000)
        assert answer == "NO" and b"[OVERQUOTA]" in text
    with open(f"{virtual.user_directory(ann)}/Maildir/maildirsize", encoding="ascii") as f:
        assert f.readline() in ("20000S,50C\n", "50C,20000S\n")
    deliver(virtual, ann, "y" * 900)        # they count in the same file: what Dovecot put in fills it for ours
    virtual.wait(lambda: len(virtual.messages(ann)) == 2)


def test_no_quota(dovecot, joe):
    with dovecot.login(joe) as connection:
        assert connection.getquotaroot("INBOX")[1][1] in ([None], [b'"User quota" ()'])


def refused(dovecot, name, password, source=None):
    """The text of a refused login."""
    with pytest.raises(imaplib.IMAP4.error) as why, dovecot.login(name, password, source):
        pass
    return str(why.value)


@pytest.mark.parametrize("who", ["wrong password", "no such user", "no such domain", "no user name"])
def test_what_is_no_login_is_an_authentication_failure(dovecot, joe, domain, who):
    name = {"wrong password": joe, "no such user": f"none@{domain}", "no such domain": "joe@none.test",
            "no user name": "a,b@c"}[who]
    text = refused(dovecot, name, "wrong")
    assert "AUTHENTICATIONFAILED" in text and "UNAVAILABLE" not in text


def test_accounts_that_cannot_be_asked_are_unavailable_and_nobody_is_refused(dovecot, virtual):
    name = virtual.add_domain()
    joe = virtual.add_user(f"joe@{name}")
    directory = virtual.domain_directory(name)
    os.rename(directory, f"{directory}.away")
    try:
        text = refused(dovecot, joe, PASSWORD)
        assert "UNAVAILABLE" in text and "AUTHENTICATIONFAILED" not in text
    finally:
        os.rename(f"{directory}.away", directory)
    with dovecot.login(joe) as connection:
        assert connection.select("INBOX")[0] == "OK"


def test_flags_close_imap(dovecot, virtual, joe):
    virtual.run("vmoduser", "-i", joe)
    assert "AUTHENTICATIONFAILED" in refused(dovecot, joe, PASSWORD, "127.0.0.2")
    with dovecot.login(joe):                # from this very machine it is webmail
        pass
    virtual.run("vmoduser", "-x", joe)
    virtual.run("vmoduser", "-w", joe)
    assert "AUTHENTICATIONFAILED" in refused(dovecot, joe, PASSWORD)
    with dovecot.login(joe, source="127.0.0.2"):
        pass


def test_flags_close_pop3(dovecot, virtual, joe):
    class Elsewhere(poplib.POP3):
        def _create_socket(self, timeout):
                return socket.create_connection((self.host, self.port), timeout, ("127.0.0.2", 0))
    virtual.run("vmoduser", "-p", joe)
    connection = Elsewhere("127.0.0.1", dovecot.pop3, timeout=60)
    connection.user(joe)
    with pytest.raises(poplib.error_proto, match="AUTH"):
        connection.pass_(PASSWORD)
    connection.close()
    virtual.run("vmoduser", "-x", joe)
    connection = Elsewhere("127.0.0.1", dovecot.pop3, timeout=60)
    connection.user(joe)
    connection.pass_(PASSWORD)
    assert connection.stat() == (0, 0)
    connection.quit()


def test_a_look_up_without_a_password(dovecot, virtual, domain):
    ann = virtual.add_user(f"a{os.urandom(4).hex()}@{domain}", "-q", "1000000S")
    owner = os.stat(virtual.user_directory(ann))
    lines = dovecot.doveadm("user", ann).split("\n")
    fields = dict(line.split("\t", 1) for line in lines if "\t" in line)
    assert fields["uid"] == str(owner.st_uid) and fields["gid"] == str(owner.st_gid)
    assert fields["home"] == virtual.user_directory(ann) and fields["quota_rule"] == "*:bytes=1000000"
    assert fields["mail"] == f"maildir:{fields['home']}/Maildir"
    dovecot.doveadm("user", f"none@{domain}", status=67)
    dovecot.doveadm("user", "joe@none.test", status=67)
    directory = virtual.domain_directory(domain)
    os.rename(directory, f"{directory}.away")
    try:
        dovecot.doveadm("user", ann, status=75)
    finally:
        os.rename(f"{directory}.away", directory)


def test_mail_location_and_another_owner(dovecot, virtual, person):
    """A domain of another user of this machine, in his home."""
    name = virtual.add_domain("-u", person.name)
    joe = virtual.add_user(f"joe@{name}")
    deliver(virtual, joe, "to another owner")
    virtual.wait(lambda: virtual.messages(joe))
    with dovecot.login(joe) as connection:
        connection.select("INBOX")
        assert subjects(connection) == ["to another owner"]
    assert os.stat(virtual.user_directory(joe)).st_uid == os.stat(person.home).st_uid
    virtual.remove(name)


def test_users_of_the_system_where_they_are_asked_for(dovecot, virtual, domain, person):
    with virtual.options("passwd yes\n"):
        with dovecot.login(person.name, person.password) as connection:
            assert connection.select("INBOX") == ("OK", [b"0"])
        assert f"home\t{person.home}\n" in dovecot.doveadm("user", person.name)
        assert "AUTHENTICATIONFAILED" in refused(dovecot, person.name, "wrong")
    dovecot.doveadm("user", person.name, status=67)


def test_an_alias_domain_is_the_same_mailbox(dovecot, virtual, domain, joe):
    other = virtual.new_name()
    virtual.run("vaddaliasdomain", other, domain)
    with dovecot.login(joe) as connection:
        connection.append("INBOX", None, None, b"Subject: mine\r\n\r\n")
    with dovecot.login(f"{joe.partition('@')[0]}@{other}") as connection:
        connection.select("INBOX")
        assert subjects(connection) == ["mine"]


def certificate(dovecot):
    """The file that the configuration names."""
    with open(dovecot.config, encoding="utf-8") as f:
        [path] = [line.partition("<")[2].strip() for line in f if line.startswith("ssl_cert ")]
    return path


def context(dovecot):
    """Trusts the certificate that was made; it is in the name of control/me, not localhost."""
    found = ssl.create_default_context(cafile=certificate(dovecot))
    found.check_hostname = False
    return found


def test_tls(dovecot, joe):
    with imaplib.IMAP4_SSL("localhost", dovecot.tls, ssl_context=context(dovecot), timeout=60) as connection:
        connection.login(joe, PASSWORD)
        assert connection.select("INBOX")[0] == "OK"
    with imaplib.IMAP4("localhost", dovecot.port, timeout=60) as connection:
        connection.starttls(context(dovecot))
        connection.login(joe, PASSWORD)
        assert connection.select("INBOX")[0] == "OK"


def test_a_login_opens_the_relay(dovecot, virtual, joe):
    address = f"127.9.{os.urandom(1)[0]}.9"

    def rcpt():
        with smtplib.SMTP("127.0.0.1", virtual.smtp, timeout=60, source_address=(address, 0)) as smtp:
            smtp.ehlo()
            smtp.mail("a@there.test")
            return smtp.rcpt("b@elsewhere.test")[0]
    assert rcpt() == 553
    refused(dovecot, joe, "wrong", address)
    assert rcpt() == 553
    with dovecot.login(joe, source=address):
        pass
    assert rcpt() == 250


def test_failed_logins_count(dovecot, virtual, joe):
    path = f"{virtual.home}/control/loginfailures"
    with open(path, "w", encoding="ascii") as f:
        f.write("2\n")
    try:
        for _ in range(2):
            refused(dovecot, joe, "wrong")
        assert "AUTHENTICATIONFAILED" in refused(dovecot, joe, PASSWORD)
    finally:
        os.unlink(path)
    with dovecot.login(joe):
        pass


def test_a_second_client(dovecot, virtual, joe, tmp_path):
    """isync copies folders, messages and flags both ways."""
    assert shutil.which("mbsync"), "no mbsync: apt-get install isync"
    deliver(virtual, joe, "to be copied")
    virtual.wait(lambda: virtual.messages(joe))
    os.mkdir(tmp_path / "mail")
    (tmp_path / "mbsyncrc").write_text(
        f"IMAPAccount a\nHost localhost\nPort {dovecot.port}\nUser {joe}\nPass {PASSWORD}\nSSLType None\n"
        "AuthMechs LOGIN\n\n"
        "IMAPStore far\nAccount a\nPath INBOX.\n\n"
        f"MaildirStore near\nPath {tmp_path}/mail/\nInbox {tmp_path}/mail/INBOX\nSubFolders Verbatim\n\n"
        "Channel all\nFar :far:\nNear :near:\nPatterns *\nCreate Both\nSyncState *\n")

    def sync():
        done = subprocess.run(["mbsync", "-c", str(tmp_path / "mbsyncrc"), "-a"], capture_output=True, timeout=120,
                              env={**os.environ, "HOME": str(tmp_path)})
        assert done.returncode == 0, (done, dovecot.log()[-3000:])
    sync()
    [name] = os.listdir(tmp_path / "mail/INBOX/new")
    assert b"Subject: to be copied\n" in (tmp_path / f"mail/INBOX/new/{name}").read_bytes()
    os.rename(tmp_path / f"mail/INBOX/new/{name}", tmp_path / f"mail/INBOX/cur/{name.partition(':')[0]}:2,FS")
    sync()
    with dovecot.login(joe) as connection:
        connection.select("INBOX")
        assert {rb"\Flagged", rb"\Seen"} <= set(imaplib.ParseFlags(connection.fetch("1", "(FLAGS)")[1][0]))
