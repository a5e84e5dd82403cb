"""Mail out by POP3: clients of Debian, checkpassword-type programs, and both ways of serving it."""
import contextlib
import os
import poplib
import subprocess

import pytest

from tests.peers.ports import free_port
from tests.thirdparty.conftest import HOME, tool

pytestmark = [pytest.mark.root, pytest.mark.system]
LETTERS = [b"Subject: letter %d\n\nline\n.\n..dots\n.end\n" % number for number in range(3)]


@pytest.fixture(params=["listening", "tcpserver"])
def port(host, request):
    """POP3's port: qmail-popup listening itself, and for each connection behind tcpserver."""
    if request.param == "listening":
        yield host.system.pop3
        return
    number = free_port()
    with host.served(number, *popup("checkpassword", f"{HOME}/bin/qmail-pop3d", "Maildir")):
        yield number


def popup(*checker):
    return [f"{HOME}/bin/qmail-popup", "pop.example", *checker]


@pytest.fixture
def mailbox(people):
    """A person with letters that arrived some time ago, for a message shows from the second after its arrival."""
    person = people()
    for number, letter in enumerate(LETTERS):
        name = f"Maildir/new/10000000{number:02}.P1Q{number}.host"
        person.file(name, letter.decode())
        os.utime(f"{person.home}/{name}", (10**9, 10**9))
    return person


def without_header_of_fetcher(message):
    return message[message.index(b"Subject: letter"):]


def fetched(directory):
    """What a client put into a Maildir, from the Subject on, in order."""
    found = []
    for name in os.listdir(f"{directory}/new"):
        with open(f"{directory}/new/{name}", "rb") as f:
            found.append(without_header_of_fetcher(f.read()))
    return sorted(found)


@pytest.fixture
def inbox(people):
    """Another person's Maildir: where clients put what they fetch."""
    return people()


def arrived(inbox, mailbox):
    """All letters are there, unchanged but for the empty line that qmail-pop3d adds, and gone from the mailbox."""
    found = [letter.rstrip(b"\n") for letter in fetched(f"{inbox.home}/Maildir")]
    assert found == [letter.rstrip(b"\n") for letter in LETTERS]
    assert mailbox.messages() == []


def test_fetchmail(host, mailbox, inbox, port):
    """Into the system again through sendmail, as fetchmail's manual suggests for qmail."""
    inbox.file(".fetchmailrc", f'poll 127.0.0.1 protocol pop3 port {port} '
                               f'user "{mailbox.name}" password "{mailbox.password}" sslproto "" '
                               f'mda "/usr/sbin/sendmail -i -f %F -- {inbox.name}"\n')
    done = host.run(tool("fetchmail"), "--nosyslog", "--nodetach", user=inbox)
    assert done.returncode == 0, done
    host.wait(lambda: len(inbox.messages()) == len(LETTERS))
    arrived(inbox, mailbox)


def test_fetchmail_keeps_what_it_has_seen(host, mailbox, inbox, port):
    """--keep: unique ids stay the same between sessions."""
    inbox.file(".fetchmailrc", f'poll 127.0.0.1 protocol pop3 port {port} uidl '
                               f'user "{mailbox.name}" password "{mailbox.password}" sslproto "" keep '
                               'mda "safecat Maildir/tmp Maildir/new"\n')
    for code in (0, 1):                                     # 1: no new mail
        done = host.run(tool("fetchmail"), "--nosyslog", "--nodetach", user=inbox)
        assert done.returncode == code, done
    assert len(mailbox.messages()) == len(inbox.messages()) == len(LETTERS)


def test_getmail(host, mailbox, inbox, port):
    os.mkdir(f"{inbox.home}/.getmail", 0o700)
    os.chown(f"{inbox.home}/.getmail", inbox.uid, inbox.gid)
    inbox.file(".getmail/getmailrc", f"[retriever]\ntype = SimplePOP3Retriever\nserver = 127.0.0.1\nport = {port}\n"
                                     f"username = {mailbox.name}\npassword = {mailbox.password}\n"
                                     f"[destination]\ntype = Maildir\npath = {inbox.home}/Maildir/\n"
                                     "[options]\ndelete = true\n")
    done = host.run(tool("getmail", "getmail6"), user=inbox)
    assert done.returncode == 0, done
    arrived(inbox, mailbox)


def test_mpop(host, mailbox, inbox, port):
    inbox.file(".mpoprc", f"account a\nhost 127.0.0.1\nport {port}\ntls off\n"
                          f"auth user\nuser {mailbox.name}\npassword {mailbox.password}\n"
                          f"delivery maildir {inbox.home}/Maildir\nkeep off\n")
    done = host.run(tool("mpop"), "-a", user=inbox)
    assert done.returncode == 0, done
    arrived(inbox, mailbox)


def test_inc_of_nmh(host, mailbox, inbox, port):
    inbox.file(".mh_profile", "Path: Mail\n")
    os.mkdir(f"{inbox.home}/Mail", 0o700)
    os.chown(f"{inbox.home}/Mail", inbox.uid, inbox.gid)
    inbox.file(".netrc", f"machine 127.0.0.1 login {mailbox.name} password {mailbox.password}\n")
    done = host.run("/usr/bin/mh/inc", "-host", "127.0.0.1", "-user", mailbox.name, "-port", str(port), user=inbox)
    assert done.returncode == 0, done
    assert len(os.listdir(f"{inbox.home}/Mail/inbox")) >= len(LETTERS) and mailbox.messages() == []


def test_a_wrong_password_is_told(host, mailbox, inbox, port):
    inbox.file(".fetchmailrc", f'poll 127.0.0.1 protocol pop3 port {port} '
                               f'user "{mailbox.name}" password "wrong" sslproto "" mda "cat"\n')
    done = host.run(tool("fetchmail"), "--nosyslog", "--nodetach", user=inbox)
    assert done.returncode == 3 and b"authorization fail" in done.stderr.lower(), done


# ---------------------------------------------------------------- checkpassword-type programs

@contextlib.contextmanager
def login(port, name, password, apop=False):
    connection = poplib.POP3("127.0.0.1", port, timeout=30)
    try:
        if apop:
            connection.apop(name, password)
        else:
            connection.user(name)
            connection.pass_(password)
        yield connection
    finally:
        connection.close()


@pytest.mark.parametrize("checker, apop", [("checkpw", False), ("checkapoppw", True)])
def test_checkpw(host, mailbox, checker, apop):
    """Debian's checkpw: mail passwords of their own, in ~/Maildir/.password."""
    mailbox.file("Maildir/.password", "mail-secret")
    number = free_port()
    with host.served(number, *popup(tool(checker, "checkpw"), f"{HOME}/bin/qmail-pop3d", "Maildir")):
        with login(number, mailbox.name, "mail-secret", apop) as connection:
            assert connection.stat()[0] == len(LETTERS)
            connection.quit()
        refused = pytest.raises(poplib.error_proto, match="authorization failed")
        with refused, login(number, mailbox.name, "wrong", apop):
            pass


def test_a_checker_in_front_of_a_program_of_another(host, mailbox):
    """Our checkpassword leads into whatever follows: Debian's envdir, softlimit, and id."""
    done = subprocess.run(["sh", "-c", 'exec "$@" 3<&0 </dev/null', "sh",
                           *host.words(f"{HOME}/bin/checkpassword", tool("softlimit", "daemontools"),
                           "-f", "100000", "sh", "-c", 'id -un; id -G; pwd; echo "$USER $HOME"')],
                          input=f"{mailbox.name}\0{mailbox.password}\0<stamp>\0".encode(), capture_output=True,
                          pass_fds=[], timeout=60)
    name, home = mailbox.name, mailbox.home
    assert done.stdout.decode() == f"{name}\n{mailbox.gid}\n{home}\n{name} {home}\n", done


def test_cvm_checkpassword(host, mailbox):
    """The call of cvm-checkpassword's manual: passwords of the system through cvm-unix."""
    number = free_port()
    with host.served(number, *popup(tool("cvm-checkpassword", "cvm"), tool("cvm-unix", "cvm"),
                                    f"{HOME}/bin/qmail-pop3d", "./Maildir/")):
        with login(number, mailbox.name, mailbox.password) as connection:
            assert connection.stat()[0] == len(LETTERS)
            assert connection.top(1, 0)[1][0] == b"Subject: letter 0"
        with pytest.raises(poplib.error_proto, match="authorization failed"), login(number, mailbox.name, "wrong"):
            pass


def test_pop3front(host, mailbox):
    """Another POP3 server on a Maildir that ours serves too: same messages, same order."""
    number = free_port()
    with host.served(number, tool("pop3front-auth", "mailfront"), tool("cvm-unix", "cvm"),
                     tool("pop3front-maildir", "mailfront"), "Maildir"), \
            login(number, mailbox.name, mailbox.password) as theirs, \
            login(host.system.pop3, mailbox.name, mailbox.password) as ours:
        assert theirs.list()[1] == ours.list()[1] and theirs.uidl()[1] == ours.uidl()[1]
