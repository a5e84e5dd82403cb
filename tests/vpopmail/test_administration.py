"""Domains, users, aliases, limits: what the programs change, what they answer, and what a crash leaves."""
import os
import subprocess
import sys
import time

import pytest

from pyqmail.base import cdb, pidfile, prot, sig
from pyqmail.base import home as qmailhome
from pyqmail.base.errors import Temporary
from pyqmail.programs import (vaddaliasdomain, vadddomain, vadduser, valias, vchangepw, vconvert, vdeldomain,
                              vdeloldusers, vdeluser, vdominfo, vipmap, vmkpasswd, vmoddomlimits, vmoduser, vpasswd,
                              vpopbull, vsetuserquota, vuserinfo)
from pyqmail.vpopmail import (accounts, assign, command, domains, files, flags, hashdirs, home, limits, lists, names,
                              onchange, passwords, quotas)
from pyqmail.vpopmail import vpasswd as vpasswd_file
from pyqmail.vpopmail.errors import CODES, Refused

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
UID, GID = os.getuid() or 65534, os.getgid() or 65534


@pytest.fixture
def site(tmp_path, monkeypatch):
    """QMAILHOME/{control,users} and VPOPHOME; the latter's path."""
    vpop, q = os.fsencode(tmp_path / "vpop"), os.fsencode(tmp_path / "q")
    for path in (vpop + b"/domains", vpop + b"/etc", q + b"/users", q + b"/control", q + b"/run"):
        os.makedirs(path)
    for path in (vpop, vpop + b"/domains", vpop + b"/etc"):
        os.chown(path, UID, GID)
    directory = tmp_path
    while os.getuid() == 0 and directory != directory.parent and directory.stat().st_mode & 0o7 == 0:
        directory.chmod(0o711)          # domains are entered with the rights of their owner
        directory = directory.parent
    monkeypatch.setattr(qmailhome, "HOME", os.fsdecode(q))
    monkeypatch.setattr(sys, "argv", ["prog"])
    monkeypatch.setattr(onchange, "_told", [])
    for name in (b"VPOPMAIL_DOMAIN", b"TCPLOCALIP"):
        monkeypatch.delitem(os.environb, name, raising=False)
    monkeypatch.chdir(tmp_path)
    home.use(vpop, UID, GID)
    put(vpop + b"/options", b"password-hash md5\nclear-passwd yes\n")
    put(vpop + b"/etc/vlimits.default", b"")
    before = os.umask(0o022)
    yield vpop
    os.umask(before)
    home._known.clear()


@pytest.fixture
def run(site, capfd):
    """run(program, *words): (exit code, standard output)"""
    def once(program, *words):
        onchange._told.clear()
        status = program.main([os.fsencode(word) for word in words]) or 0
        return status, capfd.readouterr().out
    return once


@pytest.fixture
def example(run):
    assert run(vadddomain, "example.com", "secret") == (0, "")
    return assign.find(b"example.com")


def put(path, text):
    with open(path, "wb") as f:
        f.write(text)


def get(path):
    with open(path, "rb") as f:
        return f.read()


def qfile(name):
    return get(qmailhome.path(*name.split("/")))


# ---------------------------------------------------------------- domains

def test_a_domain_is_made_and_removed_without_a_trace(run, example, site):
    assert qfile("control/rcpthosts") == b"example.com\n"
    assert qfile("control/virtualdomains") == b"example.com:example.com\n"
    assert qfile("users/assign").endswith(b":-::\n.\n")
    assert [account.name for account in accounts.store(example).all()] == [b"postmaster"]
    assert run(vdeldomain, "example.com") == (0, "")
    assert qfile("control/rcpthosts") == qfile("control/virtualdomains") == b"" and qfile("users/assign") == b".\n"
    assert not os.path.exists(example.directory) and assign.find(b"example.com") is None


def test_qmail_send_hears_of_a_domain_before_mail_is_taken_for_it(run, site, monkeypatch):
    seen = []

    def told():
        seen.append((b"example.com" in get(qmailhome.path("control", "virtualdomains")),
                     b"example.com" in (files.read(os.fsencode(qmailhome.path("control", "rcpthosts"))) or b"")))
    monkeypatch.setattr(domains, "tell_qmail_send", told)
    assert run(vadddomain, "example.com", "secret") == (0, "")
    assert run(vdeldomain, "example.com") == (0, "")
    assert seen == [(True, False), (False, False)]


@pytest.mark.parametrize("last", ["take_mail", "give_to_owner"])
def test_what_is_half_made_is_completed(run, site, monkeypatch, last):
    def crash(*words):
        raise OSError(5, "crash")
    with monkeypatch.context() as patched:
        patched.setattr(lists, last, crash)
        with pytest.raises(OSError, match="crash"):
            run(vadddomain, "example.com", "secret")
    assert assign.find(b"example.com") is not None
    assert run(vadddomain, "example.com", "secret") == (0, "")
    assert run(vadddomain, "example.com", "secret") == (243, "Error: Domain already exists\n")
    with monkeypatch.context() as patched:
        patched.setattr(lists, last, crash)
        with pytest.raises(OSError, match="crash"):
            run(vaddaliasdomain, "example.com", "alias.example")
    assert run(vaddaliasdomain, "example.com", "alias.example") == (0, "")
    assert run(vaddaliasdomain, "example.com", "alias.example")[0] == 255


def test_a_directory_that_a_crash_left_is_in_nobodys_way(run, example):
    for name in (b"/.new.joe", b"/.gone.joe"):
        os.mkdir(example.directory + name)
        put(example.directory + name + b"/letter", b"old")
        os.chown(example.directory + name, UID, GID)
    assert run(vadduser, "joe@example.com", "pw") == (0, "")
    assert sorted(os.listdir(example.directory + b"/joe")) == [b"Maildir", b"lastauth"]
    assert not [name for name in os.listdir(example.directory) if name.startswith((b".new", b".gone"))]


def test_alias_domains(run, example):
    assert run(vaddaliasdomain, "alias.example", "example.com") == (0, "")
    found = assign.find(b"Alias.Example")
    assert found.alias and found.real == b"example.com" and found.directory == example.directory
    assert "alias of example.com" in run(vdominfo)[1]
    status, told = run(vdeldomain, "example.com")
    assert status == 0 and "use -f" in told and assign.find(b"example.com")
    assert run(vdeldomain, "alias.example") == (0, "")
    assert assign.find(b"example.com") and assign.find(b"alias.example") is None


@pytest.mark.parametrize("name", ["-bad.example", "bad.example-", "ba_d.example", "ab", "a b.example", "../x.example",
                                  "..", ".example.com", "a/b.example"])
def test_names_that_are_none(run, name):
    assert run(vadddomain, "--", name, "x") == (244, "Error: Invalid domain name\n")


def test_unknown_mail_is_no_way_to_a_shell(run):
    assert run(vadddomain, "-e", "a@b.example;reboot", "example.com", "x")[0] == 255
    assert run(vadddomain, "-e", "$(reboot)", "example.com", "x")[0] == 236
    assert assign.find(b"example.com") is None


def test_root_gets_no_domain(run):
    assert run(vadddomain, "-i", "0", "-g", "0", "example.com", "x")[0] == 234


@pytest.mark.parametrize("line,key", [
    (b"mail.zzz.example", b"zzz.example.mail"), (b"+example.com-:example.com:1:1:/x:-::", b"example.com"),
    (b"=joe:joe:1", b"joe"), (b"a.b:a.b", b"a.b"), (b"localhost", b"localhost")])
def test_order_of_lines(line, key):
    assert lists.key(line) == key


def test_lines_out_of_order_are_sorted_with_a_notice(capfd):
    assert lists.insert([b"z.example", b"a.example"], b"m.example", b"FILE") == [b"a.example", b"m.example", b"z.example"]
    assert "Out of order entries found in FILE" in capfd.readouterr().err


def test_many_domains_go_to_morercpthosts(run, site):
    put(qmailhome.path("control", "rcpthosts").encode(), b"".join(b"d%02d.example\n" % n for n in range(lists.FEW)))
    assert run(vadddomain, "example.com", "x") == (0, "")
    assert qfile("control/morercpthosts") == b"example.com\n"
    assert cdb.read(qmailhome.path("control", "morercpthosts.cdb")).get(b"example.com") == b""
    run(vdeldomain, "example.com")
    assert not os.path.exists(qmailhome.path("control", "morercpthosts.cdb"))


def test_a_missing_directory_is_temporary(example):
    os.rename(example.directory, example.directory + b".away")
    with pytest.raises(Temporary):
        accounts.store(example).get(b"postmaster")


@pytest.mark.root
def test_a_directory_of_somebody_else_is_not_entered(example):
    os.chown(example.directory, 1, 1)
    with pytest.raises(Temporary, match="does not belong"):
        accounts.store(example).get(b"postmaster")


def test_only_our_qmail_send_is_told(example, monkeypatch):
    killed = []
    monkeypatch.setattr(os, "kill", lambda *what: killed.append(what))
    domains.tell_qmail_send()
    assert killed == []
    put(qmailhome.path("run", "send.pid").encode(), b"%d 1\n" % os.getpid())      # not that process: another start
    domains.tell_qmail_send()
    assert killed == []


def test_a_starting_qmail_send_is_told_when_it_takes_signals(example, monkeypatch):
    killed, ready = [], [False, False, True]
    monkeypatch.setattr(os, "kill", lambda *what: killed.append(what))
    monkeypatch.setattr(domains.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(domains.pidfile, "catches", lambda process, number: ready.pop(0))
    pidfile.note("send", os.getpid())
    domains.tell_qmail_send()
    assert killed == [(os.getpid(), sig.HUP)] and ready == []


@pytest.mark.root
def test_owners_of_two_domains_cannot_read_each_other(run, site, tmp_path):
    (tmp_path / "other/domains").mkdir(parents=True)
    assert run(vadddomain, "one.example", "x") == (0, "")
    assert run(vadddomain, "-u", "daemon", "-d", str(tmp_path / "other"), "two.example", "x") == (0, "")
    one, two = assign.find(b"one.example"), assign.find(b"two.example")
    assert one.uid != two.uid
    for mine, theirs in ((one, two), (two, one)):
        with prot.Acting(mine.uid, mine.gid):
            for path in (theirs.directory, theirs.directory + b"/vpasswd", theirs.directory + b"/postmaster/Maildir/new"):
                with pytest.raises(PermissionError):
                    os.listdir(path)
        for directory, _, names_there in os.walk(mine.directory):
            for name in (b".", *names_there):
                assert os.stat(os.path.join(directory, name)).st_uid == mine.uid
                assert os.stat(os.path.join(directory, name)).st_mode & 0o077 == 0


@pytest.mark.root
def test_root_is_not_led_astray_by_links_in_a_domain(run, example, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("root's\n")
    secret.chmod(0o600)
    for name in (b".vpasswd.new", b".vpasswd.cdb.new", b".dir-control.%d" % os.getpid()):
        os.symlink(os.fsencode(secret), example.directory + b"/" + name)
    assert run(vadduser, "joe@example.com", "pw") == (0, "")
    assert secret.read_text() == "root's\n" and secret.stat().st_uid == 0
    os.unlink(example.directory + b"/.vpasswd.lock")
    os.symlink(os.fsencode(secret), example.directory + b"/.vpasswd.lock")
    with pytest.raises(OSError):
        accounts.store(example).delete(b"joe")


# ---------------------------------------------------------------- users

def test_a_user_comes_and_goes(run, example):
    assert run(vadduser, "-c", "Joe User", "-q", "10M", "Joe@Example.com", "pw") == (0, "")
    joe = accounts.store(example).get(b"joe")
    assert (joe.comment, joe.quota, joe.clear) == (b"Joe User", b"10485760S", b"pw") and joe.hash.startswith(b"$1$")
    assert get(joe.directory + b"/Maildir/maildirsize") == b"10485760S\n0 0\n"
    assert run(vpasswd, "joe@example.com", "a:b") == (0, "")
    assert accounts.store(example).get(b"joe").clear == b"a:b"
    assert run(vuserinfo, "-ndq", "joe@example.com")[1] == f"joe\n{os.fsdecode(joe.directory)}\n10485760S\n"
    assert run(vdeluser, "joe@example.com") == (0, "")
    assert accounts.store(example).get(b"joe") is None and not os.path.exists(joe.directory)


def test_passwords_are_strong_and_not_kept_unless_asked_for(run, site):
    put(site + b"/options", b"")
    home.use(site, UID, GID)
    run(vadddomain, "example.com", "secret")
    line = get(assign.find(b"example.com").directory + b"/vpasswd")
    assert b":$6$" in line and b"secret" not in line and line.count(b":") == 6


def test_vpasswd_is_private_after_every_change(run, example):
    for program, *words in ((vpasswd, "postmaster@example.com", "x"), (vmoduser, "-p", "example.com"),
                            (vsetuserquota, "postmaster@example.com", "1M")):
        assert run(program, *words)[0] == 0
        assert os.stat(example.directory + b"/vpasswd").st_mode & 0o777 == 0o600


def test_the_catchall_account_stays(run, example):
    run(vadduser, "joe@example.com", "pw")
    for target in (example.directory + b"/joe", b"joe@example.com", example.directory + b"/joe/Maildir/"):
        put(example.directory + b"/.qmail-default", b"| /v/bin/vdelivermail '' %b\n" % target)
        assert run(vdeluser, "joe@example.com") == (201, "Error: can't delete catchall account\n")


def test_a_stale_record_cannot_lead_the_deletion_outside(run, example, tmp_path):
    run(vadduser, "joe@example.com", "pw")
    accounts.store(example).change(b"joe", lambda account: setattr(account, "directory", example.directory + b"/../x"))
    (tmp_path / "vpop/domains/x").mkdir()
    assert run(vdeluser, "joe@example.com")[0] == 0
    assert (tmp_path / "vpop/domains/x").exists()


@pytest.mark.parametrize("words,status", [
    (("joe@none.example", "x"), 255), (("postmaster@example.com", "x"), 255), (("x@example.com", "x"), 255),
    (("jo e@example.com", "x"), 255), (("u" * 33 + "@example.com", "x"), 231), (("-c", "c" * 49, "amy@example.com", "x"), 228),
    (("amy@example.com", "p" * 129), 229), (("-c", "a:b", "amy@example.com", "x"), 236), (("-c", "a\nb", "amy@example.com", "x"), 236),
    (("vpasswd@example.com", "x"), 249), ((".x@example.com", "x"), 255), (("..@example.com", "x"), 255)])
def test_users_that_cannot_be(run, example, words, status):
    before = accounts.store(example).names()
    assert run(vadduser, *words)[0] == status
    assert accounts.store(example).names() == before


def test_flags_add_up(run, example):
    run(vmoduser, "-p", "postmaster@example.com")
    run(vmoduser, "-s", "postmaster@example.com")
    assert accounts.store(example).get(b"postmaster").flags == flags.NO_POP | flags.NO_SMTP
    run(vmoduser, "-x", "-d", "example.com")
    assert accounts.store(example).get(b"postmaster").flags == flags.NO_PASSWD_CHNG
    assert run(vpasswd, "postmaster@example.com", "x") == (255, "Error: Illegal username\n")


def test_edited_by_hand(run, example):
    put(example.directory + b"/vpasswd", b"ann:x:1:0:Ann:/d/ann:NOQUOTA\n")
    assert accounts.store(example).get(b"ann") is None      # the cdb is believed
    assert run(vmkpasswd, "example.com") == (0, "")
    assert accounts.store(example).get(b"ann").comment == b"Ann"


def test_changing_ones_password(run, example, monkeypatch):
    said = iter([b"postmaster@example.com", b"secret", b"new", b"new"])
    monkeypatch.setattr(command, "read_line", lambda fd: next(said))
    monkeypatch.setattr(command, "ask", lambda prompt: next(said))
    assert run(vchangepw)[0] == 0
    assert accounts.store(example).get(b"postmaster").clear == b"new"


def test_a_wrong_old_password(run, example, monkeypatch):
    said = iter([b"postmaster@example.com", b"wrong"])
    monkeypatch.setattr(command, "read_line", lambda fd: next(said))
    monkeypatch.setattr(command, "ask", lambda prompt: next(said))
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    assert run(vchangepw) == (3, "Please enter the email address: postmaster@example.com\nError: authentication failed!\n")


def test_failed_changes_count_with_all_failed_logins(run, example, monkeypatch):
    counted = []
    monkeypatch.setattr(vchangepw.failures, "note", lambda *words: counted.append(words[:2]))
    monkeypatch.setattr(vchangepw.failures, "too_many", lambda *words: len(counted) > 1)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    for word, code in ((b"wrong", 3), (b"bad", 3), (b"secret", 3)):
        said = iter([b"postmaster@example.com", word, b"new", b"new"])
        monkeypatch.setattr(command, "read_line", lambda fd, said=said: next(said))
        monkeypatch.setattr(command, "ask", lambda prompt, said=said: next(said))
        assert run(vchangepw)[0] == code
    assert counted == [(b"postmaster@example.com", b"")] * 2


def test_old_users(run, example):
    run(vadduser, "joe@example.com", "pw")
    os.utime(accounts.store(example).get(b"joe").directory + b"/lastauth", (1, 1))
    assert run(vdeloldusers, "-d", "example.com")[1].startswith("joe@example.com\n ** no users were deleted")
    assert run(vdeloldusers, "-D", "-e") == (0, "")
    assert accounts.store(example).names() == [b"postmaster"]
    assert run(vdeloldusers, "-e") == (0, "no old users found\n")


def test_conversion_brings_hashes_but_no_clear_password(run, example, tmp_path):
    (tmp_path / "list").write_text("ann:aB1c2D3e4F5g6\nbob\tcD1c2D3e4F5g6\nx\n")
    assert run(vconvert, "-p", "list", "-c", "example.com") == (0, "converting example.com done\n")
    ann = accounts.store(example).get(b"ann")
    assert (ann.hash, ann.clear) == (b"aB1c2D3e4F5g6", b"")
    assert "unknown conversion" in run(vconvert, "-c", "-m", "example.com")[1]


# ---------------------------------------------------------------- bulletins, aliases, maps, limits

def test_a_bulletin_reaches_every_user_once(run, example, tmp_path):
    run(vadduser, "joe@example.com", "pw")
    run(vaddaliasdomain, "example.com", "alias.example")
    (tmp_path / "msg").write_text("Subject: news\n\nhello\n")
    (tmp_path / "no").write_text("postmaster@example.com\n")
    assert run(vpopbull, "-V", "-e", "no", "-f", "msg") == (0, "joe@example.com\n")
    joe = accounts.store(example).get(b"joe").directory + b"/Maildir/new/"
    message, = os.listdir(joe)
    head, _, rest = get(joe + message).partition(b"\n")
    assert head == b"To: joe@example.com" and rest.startswith(b"Date: ") and rest.endswith(b"\nhello\n")
    assert os.listdir(accounts.store(example).get(b"postmaster").directory + b"/Maildir/new") == []


def test_aliases(run, example):
    assert run(valias, "-i", "&a@b.example", "List.One@example.com") == (0, "")
    assert run(valias, "-i", "&a@b.example", "list.one@example.com")[0] == 255
    assert get(example.directory + b"/.qmail-list:one") == b"&a@b.example\n"
    assert run(valias, "-n", "example.com") == (0, "list.one\n")
    assert run(valias, "-d", "list.one@example.com") == (0, "")
    assert run(valias, "-s", "list.one@example.com") == (255, "")


def test_what_is_removed_stays_so_when_the_power_fails(run, example, monkeypatch):
    synced, original = [], files.sync_directory
    monkeypatch.setattr(files, "sync_directory", lambda path: (synced.append(os.path.realpath(path)), original(path)))
    run(valias, "-i", "&a@b.example", "a@example.com")
    synced.clear()
    run(valias, "-d", "a@example.com")
    assert synced == [os.path.realpath(example.directory)]
    run(vdeldomain, "example.com")
    assert os.path.realpath(os.path.dirname(example.directory)) in synced


def test_ip_map_gives_the_domain(run, example, monkeypatch):
    assert run(vipmap, "-a", "10.0.0.1", "example.com") == (0, "")
    monkeypatch.setitem(os.environb, b"TCPLOCALIP", b"::ffff:10.0.0.1")
    assert names.parse(b"joe") == (b"joe", b"example.com")
    assert run(vipmap, "-p") == (0, "10.0.0.1 example.com\n")
    assert run(vipmap, "-d", "10.0.0.1", "example.com") == (0, "")
    assert names.parse(b"joe") == (b"joe", b"")


def test_limits_act_as_flags(run, example):
    assert run(vmoddomlimits, "-g", "pi", "-u", "cd", "-x", "c", "example.com") == (0, "")
    postmaster = accounts.store(example).get(b"postmaster")
    assert limits.effective(example, postmaster) == flags.NO_POP | flags.NO_IMAP
    run(vmoduser, "-o", "postmaster@example.com")
    assert limits.effective(example, accounts.store(example).get(b"postmaster")) == flags.V_OVERRIDE
    found = limits.get(example).numbers
    assert (found[b"perm_maillist"], found[b"perm_quota"]) == ((1 | 4) << 3, 1)


def test_limits_survive_writing():
    found = limits.parse(b"maxpopaccounts 5\nquota: 10 # MB\ndisable_pop\nunknown 7\nperm_alias: 3\n")
    assert limits.parse(limits.form(found)).__dict__ == found.__dict__


@pytest.mark.parametrize("given,stored", [
    (b"10M", b"10485760S"), (b"10mbs", b"10485760S"), (b"100k", b"102400S"), (b"7", b"7S"), (b"1000C,1m", b"1048576S,1000C"),
    (b"noquota", b"NOQUOTA"), (b"5c", b"5C"), (b"1" * 21, b"9223372036854775807S")])
def test_quotas(given, stored):
    assert quotas.normal(given) == stored


@pytest.mark.parametrize("given", [b"abc", b"0", b"", b"10X", b"1M,,", b"-5"])
def test_what_is_no_quota_is_refused(given):
    with pytest.raises(Refused):
        quotas.normal(given)


# ---------------------------------------------------------------- hashing, names, codes

@pytest.mark.parametrize("place,following", [(b"", b"0"), (b"0", b"1"), (b"9", b"A"), (b"Z", b"a"), (b"z", b"0/0"),
                                             (b"0/z", b"1/0"), (b"z/z", b"0/0/0"), (b"0/0/0", b"0/0/1")])
def test_directories_follow_each_other(place, following):
    assert hashdirs.after(place) == following


def test_every_hundredth_starts_a_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    places = [hashdirs.add() for _ in range(201)]
    assert places[98] == b"" and places[99] == places[198] == b"0" and places[199] == b"1"
    hashdirs.remove(b"0")
    assert hashdirs.add() == b"0" and hashdirs.add() == b"1" and hashdirs.count() == 202


def test_a_forged_free_list_leads_nowhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".dir_control_free").write_text("../../etc\n")
    assert hashdirs.add() == b""


@pytest.mark.parametrize("address,parsed", [(b"Joe@A.Example", (b"joe", b"a.example")), (b"joe%a.b", (b"joe", b"a.b")),
                                            (b"joe/a.b", (b"joe", b"a.b")), (b"a%b@c.d", None), (b"jo\"e@a.b", None),
                                            (b"joe@a_b", None), (b"joe@" + b"d" * 200, (b"joe", b"d" * 152))])
def test_addresses(site, address, parsed):
    if parsed is None:
        with pytest.raises(names.BadName):
            names.parse(address)
    else:
        assert names.parse(address) == parsed


def test_options_are_read_as_getopt_reads_them(capfd, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/v/bin/prog"])
    options = command.Options([b"-ab", b"x", b"-r12", b"-q", b"1", b"--", b"-y"], b"abr::q:")
    assert options.found == [(b"a", None), (b"b", None), (b"r", b"12"), (b"q", b"1")] and options.rest == [b"x", b"-y"]
    options = command.Options([b"-aZb", b"x"], b"abr::q:")
    assert options.bad and options.rest == [b"-aZb", b"x"]
    assert capfd.readouterr().err == "/v/bin/prog: invalid option -- 'Z'\n"


def test_numbers_of_errors_differ():
    assert len({number % 256 for number, *_ in CODES}) == len(CODES) and Refused("USER_DOES_NOT_EXIST").status == 246


def test_random_passwords():
    found = passwords.random(1000)
    assert len(found) == 1000 and set(found) <= set(passwords.RANDOM) and len(set(found)) > 40


# ---------------------------------------------------------------- crashes, crowds

CROWD = """
import os, sys
sys.path[:0] = {paths!r}
from pyqmail.base import home as qmailhome
from pyqmail.vpopmail import accounts, assign, home
qmailhome.HOME = {q!r}
home.use({vpop!r}, {uid}, {gid})
store = accounts.store(assign.find(b"example.com"))
for number in range(5):
    store.add(accounts.Account(b"u%s-%d" % (sys.argv[1].encode(), number)))
"""


def test_no_update_of_many_writers_is_lost(example, site, monkeypatch):
    code = CROWD.format(paths=[ROOT, *sys.path], q=qmailhome.HOME, vpop=site, uid=UID, gid=GID)
    crowd = [subprocess.Popen([sys.executable, "-c", code, str(number)]) for number in range(4)]
    assert [each.wait() for each in crowd] == [0] * 4
    found = accounts.store(example).names()
    assert len(found) == 21 and found == sorted(found)
    assert all(accounts.store(example).get(name) for name in found)


@pytest.mark.parametrize("name", [b"a", b"b", b"bb", b"c", b"d", b"zz", b"aa"])
def test_a_new_line_goes_to_its_sorted_place(name):
    data = b"b:1\nc:2\nd:3\n"
    place = vpasswd_file.position_for(data, name)
    lines = (data[:place] + name + b":new\n" + data[place:]).split(b"\n")[:-1]
    assert [line.split(b":")[0] for line in lines] == sorted([b"b", b"c", b"d", name])
    assert vpasswd_file.position_for(b"", name) == 0


def test_a_large_domain_grows_without_being_made_anew(example, monkeypatch):
    monkeypatch.setattr(vpasswd_file, "LARGE", 0)
    made = []
    write = vpasswd_file.write_cdb
    monkeypatch.setattr(vpasswd_file, "write_cdb", lambda lines: made.append(1) or write(lines))
    store = accounts.store(example)
    for number in (5, 3, 9):
        store.add(accounts.Account(b"u%d" % number))
    assert made == [] and store.names() == [b"postmaster", b"u3", b"u5", b"u9"]
    assert all(store.get(name) for name in store.names())
    line = get(example.directory + b"/vpasswd") + b"zed::1:0:by hand:::\n"
    put(example.directory + b"/vpasswd", line)
    os.utime(example.directory + b"/vpasswd", (2e9, 2e9))
    store.add(accounts.Account(b"ann"))
    assert made == [1] and store.get(b"zed").comment == b"by hand" and store.get(b"ann")


@pytest.mark.parametrize("step", range(12))
def test_a_crash_at_any_step_leaves_a_whole_file(run, example, monkeypatch, step):
    """Every system call that changes something is the last one, once."""
    class Crash(BaseException):
        pass
    left = [step]

    def dying(call):
        def instead(*words, **more):
            left[0] -= 1
            if left[0] < 0:
                raise Crash
            return call(*words, **more)
        return instead
    before = get(example.directory + b"/vpasswd")
    with monkeypatch.context() as patched:
        for name in ("rename", "unlink", "fsync", "write", "fchmod"):
            patched.setattr(os, name, dying(getattr(os, name)))
        try:
            accounts.store(example).add(accounts.Account(b"ann"))
        except Crash:
            pass
    after = get(example.directory + b"/vpasswd")
    assert after in (before, b"ann::1:0:::NOQUOTA:\n" + before)
    assert accounts.store(example).get(b"postmaster")
    accounts.store(example).add(accounts.Account(b"bob"))
    assert b"bob" in accounts.store(example).names() and accounts.store(example).get(b"bob")


def test_a_lock_that_is_held_is_told_of(example, monkeypatch):
    monkeypatch.setattr(files, "PATIENCE", 0)
    code = ("import fcntl, sys; f = open(sys.argv[1], 'r+'); fcntl.lockf(f, fcntl.LOCK_EX); print(flush=True);"
            "sys.stdin.read()")
    with subprocess.Popen([sys.executable, "-c", code, example.directory + b"/.vpasswd.lock"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        with pytest.raises(Temporary, match="busy"):
            accounts.store(example).delete(b"postmaster")
        holder.stdin.close()
    assert accounts.store(example).get(b"postmaster")


def test_a_broken_cdb_is_temporary(example):
    put(example.directory + b"/vpasswd.cdb", b"x" * 100)
    with pytest.raises(Temporary):
        accounts.store(example).get(b"postmaster")
