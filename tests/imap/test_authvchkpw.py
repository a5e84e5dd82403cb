"""authvchkpw as Courier-IMAP 1.x runs it: a module of a chain, the login on descriptor 3."""
import base64
import hmac
import os
import pwd
import subprocess

import pytest

from tests.peers.virtual import PASSWORD

pytestmark = [pytest.mark.system, pytest.mark.root]
IMAPD = '#!/bin/sh\nid -u; pwd; echo "$1"; env | grep -E "^(AUTH|MAILDIR)" | sort\n'
MODULE = '#!/bin/sh\necho next "$@"; cat <&3\n'
LOGIN = '#!/bin/sh\necho login again "$@"\n'


@pytest.fixture
def joe(virtual, domain):
    return virtual.add_user(f"m{os.urandom(4).hex()}@{domain}", "-q", "1000000S", "-c", "Joe User")


@pytest.fixture(scope="module")
def programs(open_place):
    """imapd, a further module and imaplogin, which tell how they were run."""
    where = f"{open_place}/modules"
    os.mkdir(where, 0o755)
    for name, text in (("imapd", IMAPD), ("module", MODULE), ("imaplogin", LOGIN)):
        with open(f"{where}/{name}", "w", encoding="ascii") as f:
            f.write(text)
            os.fchmod(f.fileno(), 0o755)
    return where


@pytest.fixture
def module(virtual, programs):
    """module(data, *words): (exit code, standard output, standard error)."""
    def run(data, *words, **environ):
        words = [word.replace("BIN", programs) for word in words]
        shell = 'exec 3<&0 </dev/null; exec "$0" "$@"'
        done = subprocess.run(["sh", "-c", shell, f"{virtual.home}/bin/authvchkpw", *words], capture_output=True,
                              input=data if isinstance(data, bytes) else data.encode(), timeout=60,
                              env={"PATH": os.environ["PATH"], **environ})
        return done.returncode, done.stdout.decode(), done.stderr.decode()
    return run


SERVER = ("BIN/imapd", "Maildir")


def login(name, password=PASSWORD):
    return f"imap\nlogin\n{name}\n{password}\n"


def test_the_server_is_the_user(module, virtual, joe):
    status, out, err = module(login(joe), *SERVER, TCPREMOTEIP="203.0.113.5")
    where = virtual.user_directory(joe)
    assert (status, err) == (0, "") and out.split("\n") == [
        str(pwd.getpwnam("vpopmail").pw_uid), where, "Maildir", f"AUTHADDR={joe}", f"AUTHENTICATED={joe}",
        "AUTHFULLNAME=Joe User", f"MAILDIR={where}/Maildir", "MAILDIRQUOTA=1000000S", ""]
    with open(f"{virtual.place}/etc/open-smtp", encoding="ascii") as f:
        assert "203.0.113.5:allow" in f.read()


def test_a_challenge(module, virtual, domain, clear_passwords):
    with clear_passwords():
        address = virtual.add_user(f"c{os.urandom(4).hex()}@{domain}")
    answer = address.encode() + b" " + hmac.new(PASSWORD.encode(), b"<1@h>", "md5").hexdigest().encode()
    data = b"imap\ncram-md5\n%b\n%b" % (base64.b64encode(b"<1@h>"), base64.b64encode(answer))
    assert f"AUTHADDR={address}\n" in module(data, *SERVER)[1]
    assert "AUTHFAILURE\n" in module(data[:-6] + b"AAAA\n", *SERVER)[2]


@pytest.mark.parametrize("words", [(), ("BIN/imapd",)])
def test_too_few_words(module, words):
    assert module(login("joe"), *words) == (1, "", "authvchkpw: no more modules will be tried\n")


@pytest.mark.parametrize("data, said", [("imap\nlogin\n", "authvchkpw: auth data too short\n"),
                                        (login("x" * 500), "authvchkpw: auth data too long\n")])
def test_data_of_the_wrong_length(module, data, said):
    assert module(data, *SERVER) == (2, "", said)


def test_the_next_module_gets_the_same(module, domain, joe):
    for data, said in ((login(joe, "wrong"), ""), (f"imap\npass\n{joe}\nold\nnew\n",
                                                   "authvchkpw: Password Change not supported\n")):
        status, out, err = module(data, "BIN/module", *SERVER)
        assert (status, err) == (0, said) and out.startswith("next ") and out.partition("\n")[2] == data
    status, out, err = module(login(f"none@{domain}"), "BIN/module", *SERVER)
    assert err.startswith("authvchkpw: inquery: ") and out.endswith(login(f"none@{domain}"))


def test_no_module_is_left(module, programs, joe):
    err = "authvchkpw: no more modules will be tried\nAUTHFAILURE\n"
    assert module(login(joe, "wrong"), *SERVER) == (1, "", err)
    again = {"AUTHUSER": f"{programs}/imaplogin", "AUTHARGC": "3", "AUTHARGV0": "imaplogin", "AUTHARGV1": "a b",
             "AUTHARGV2": "Maildir"}
    assert module(login(joe, "wrong"), *SERVER, **again) == (0, "login again a b Maildir\n", err)
    assert module(login(joe, "wrong"), *SERVER, **{**again, "AUTHARGC": "9"}) == (1, "", err)


def test_a_closed_account_is_for_nobody(module, virtual, joe):
    virtual.run("vmoduser", "-i", joe)
    assert module(login(joe), "BIN/module", *SERVER) == (
        1, "", "authvchkpw: imap disabled for this account\nAUTHFAILURE\n")


def test_what_cannot_be_told_now(module, virtual):
    name = virtual.add_domain()
    where = virtual.domain_directory(name)
    os.rename(where, where + ".away")
    try:
        status, out, err = module(login(f"postmaster@{name}"), "BIN/module", *SERVER)
        assert (status, out) == (111, "") and err
    finally:
        os.rename(where + ".away", where)
        virtual.remove(name)
