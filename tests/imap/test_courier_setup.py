"""`qmailctl imap courier`, the scripts of its tree, and mkimapdcert."""
import os
import pwd
import shutil
import socket
import stat
import subprocess

import pytest

pytestmark = [pytest.mark.system, pytest.mark.root]
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def run(*words, **options):
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL, **options)
    return done.returncode, done.stdout + done.stderr


def listens(port):
    with socket.socket() as sock:
        sock.settimeout(30)
        return sock.connect_ex(("127.0.0.1", port)) == 0


def snapshot(tree):
    """{path: (mode, owner, content or target)} of everything that setting up again must leave as it is."""
    found = {}
    for where, names, files in os.walk(tree):
        for name in (*names, *files):
            path, info = f"{where}/{name}", os.lstat(f"{where}/{name}")
            if stat.S_ISREG(info.st_mode) and not where.endswith("/run"):
                with open(path, "rb") as f:
                    found[path] = info.st_mode, info.st_uid, f.read()
            elif stat.S_ISLNK(info.st_mode):
                found[path] = info.st_mode, info.st_uid, os.readlink(path)
    return found


def test_the_tree_is_laid_out_as_it_always_was(courier):
    for path in ("etc/imapd", "etc/imapd-ssl", "etc/authdaemonrc", "etc/imapd.cnf", "share/imapd.pem"):
        assert stat.S_ISREG(os.lstat(f"{courier.tree}/{path}").st_mode), path
    for path in ("libexec/imapd.rc", "libexec/imapd-ssl.rc", "libexec/couriertcpd", "libexec/authlib/authdaemond",
                 "libexec/authlib/authvchkpw", "bin/imapd", "bin/couriertls", "sbin/imaplogin", "share/mkimapdcert",
                 "sbin/mkimapdcert"):
        assert os.access(f"{courier.tree}/{path}", os.X_OK), path


def test_again_changes_nothing(courier):
    with open(f"{courier.tree}/etc/imapd", "a", encoding="utf-8") as f:
        f.write("# mine\n")
    before = snapshot(courier.tree)
    status, output = courier.set_up()
    assert status == 0, output
    assert snapshot(courier.tree) == before and f"kept {courier.tree}/etc/imapd" in output
    assert f"{courier.system.home}/bin/qmailctl imap start" in output


def test_started_and_stopped(courier):
    """By the scripts, and with everything else; authdaemond goes with the last."""
    imapd, imapd_ssl = (f"{courier.tree}/libexec/{name}.rc" for name in ("imapd", "imapd-ssl"))
    ports = courier.imap, courier.imaps
    assert list(map(listens, ports)) == [True, True]
    assert run(imapd, "start") == (0, "")                   # already there
    assert run(imapd, "stop") == (0, "") and list(map(listens, ports)) == [False, True]
    assert run(imapd, "status")[0] != 0 and run(imapd_ssl, "status")[0] == 0
    assert courier.ctl("stat") == (0, "imapd: down\nimapd-ssl: up\n")
    assert courier.ask("ENUMERATE\n")
    assert run(imapd_ssl, "stop") == (0, "") and list(map(listens, ports)) == [False, False]
    with pytest.raises(OSError):
        courier.ask("ENUMERATE\n")
    assert run(imapd_ssl, "start") == run(imapd, "start") == (0, "")
    assert list(map(listens, ports)) == [True, True]
    assert run(imapd, "x")[0] == 100


def test_with_the_rest_of_qmail(courier):
    status, output = courier.system.ctl("stat")
    assert status == 0 and "imapd: up\n" in output and "imapd-ssl: up\n" in output


def test_nothing_is_exported_but_the_settings(courier):
    with open(f"{courier.tree}/run/imapd.pid", encoding="ascii") as f:
        pid = f.read().strip()
    with open(f"/proc/{pid}/environ", "rb") as f:
        names = {entry.partition(b"=")[0] for entry in f.read().split(b"\0") if entry}
    assert {b"IMAP_CAPABILITY", b"IMAP_STARTTLS", b"TLS_CERTFILE", b"MAILDIRPATH"} <= names
    assert not names & {b"HOME", b"USER", b"PATH", b"front", b"name"}


@pytest.mark.parametrize("words, accepted", [("authvchkpw", True), ("authdaemon", True), ("authpam", False)])
def test_modules(courier, words, accepted):
    courier.setting("imapd", "AUTHMODULES", f'"{words}"')
    try:
        status, output = run(f"{courier.tree}/libexec/imapd.rc", "start")
        assert (status == 0) is accepted and ("no module authpam" in output) is not accepted
    finally:
        courier.setting("imapd", "AUTHMODULES", '"authvchkpw"')


def test_without_courier(virtual, tmp_path):
    shell = 'mount -t tmpfs none /usr/sbin && exec "$0" imap courier --courier "$1"'
    status, output = run("unshare", "-m", "sh", "-c", shell, f"{virtual.home}/bin/qmailctl", str(tmp_path))
    assert status == 111 and "install Debian's packages courier-imap" in output


def test_usage(virtual):
    for words in (["courier", "dovecot"], ["sendmail"], []):
        assert run(f"{virtual.home}/bin/qmailctl", "imap", *words)[0] == 100


# ---------------------------------------------------------------- mkimapdcert

@pytest.fixture
def mkimapdcert(tmp_path):
    """A tree with the program and the settings for openssl; settings(text) changes them."""
    for name in ("etc", "share", "sbin"):
        (tmp_path / name).mkdir()
    os.symlink(f"{ROOT}/boot/mkimapdcert", tmp_path / "sbin/mkimapdcert")
    return tmp_path


def settings(tree, template, name="mail.a.test"):
    from pyqmail.install import courier_files as files
    (tree / "etc/imapd.cnf").write_text(files.filled(template, NAME=name, DOMAIN="a.test"))


@pytest.mark.parametrize("template", ["OPENSSL_CNF", "CERTTOOL_CNF"])
def test_a_certificate(mkimapdcert, template):
    from pyqmail.install import courier_files as files
    settings(mkimapdcert, getattr(files, template))
    status, output = run(f"{mkimapdcert}/sbin/mkimapdcert")
    assert status == 0, output
    target = mkimapdcert / "share/imapd.pem"
    found = target.stat()
    assert stat.S_IMODE(found.st_mode) == 0o600 and found.st_uid == pwd.getpwnam("courier").pw_uid
    assert os.listdir(mkimapdcert / "share") == ["imapd.pem"]
    shown = run("openssl", "x509", "-noout", "-subject", "-ext", "subjectAltName", "-in", str(target))[1]
    assert "CN = mail.a.test" in shown and "DNS:mail.a.test" in shown
    assert "PRIVATE KEY" in target.read_text()
    assert run(f"{mkimapdcert}/sbin/mkimapdcert") == (1, f"{target} already exists.\n")


@pytest.mark.parametrize("text", ["[ req ]\nprompt = no\ndistinguished_name = none\n",
                                  "serial = x\nexpiration_days = = =\n(\n"])
def test_nothing_is_left_of_one_that_fails(mkimapdcert, text):
    (mkimapdcert / "etc/imapd.cnf").write_text(text)
    assert run(f"{mkimapdcert}/sbin/mkimapdcert")[0] == 1
    assert os.listdir(mkimapdcert / "share") == []


def test_no_settings(mkimapdcert):
    assert run(f"{mkimapdcert}/sbin/mkimapdcert") == (1, f"{mkimapdcert}/etc/imapd.cnf does not exist.\n")


@pytest.mark.skipif(shutil.which("dash") is None, reason="no dash here")
@pytest.mark.parametrize("script", ["imapd.rc", "authdaemond.rc", "mkimapdcert"])
def test_scripts_are_for_any_shell(script):
    assert run("dash", "-n", f"{ROOT}/boot/{script}") == (0, "")
