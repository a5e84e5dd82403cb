"""Logins of virtual users: passwords, challenges, flags, what is noted of them, and the relay they open."""
import contextlib
import hashlib
import hmac
import mmap
import os
import time

import pytest

from pyqmail.auth import accounts as system
from pyqmail.auth import failures, hashes
from pyqmail.base import cdb, child, maildir, prot
from pyqmail.base import home as qmailhome
from pyqmail.base.errors import Permanent
from pyqmail.programs import clearopensmtp, vchkpw
from pyqmail.vpopmail import accounts, assign, checker, home, limits, login, loginlog, roaming, userdir
from pyqmail.vpopmail.login import IMAP, POP, SMTP, WEBMAIL, Failure

IP = b"10.1.2.3"
STAMP = b"<1896.697170952@dbc.mtview.ca.us>"
LINE = b'%b:allow,RELAYCLIENT="",RBLSMTPD=""\t%d\n'
DES = b"rl.3StKT.4T8M"                  # of rasmuslerdorf


@pytest.fixture
def site(tmp_path, monkeypatch):
    """VPOPHOME with the domain example.com and the user joe, whose password is pw."""
    vpop, q = os.fsencode(tmp_path / "vpop"), os.fsencode(tmp_path / "q")
    directory = vpop + b"/domains/example.com"
    for path in (directory, vpop + b"/etc", q + b"/users", q + b"/control"):
        os.makedirs(path)
    monkeypatch.setattr(qmailhome, "HOME", os.fsdecode(q))
    for name in (b"VPOPMAIL_DOMAIN", b"TCPLOCALIP"):
        monkeypatch.delitem(os.environb, name, raising=False)
    fd = os.open(q + b"/users/cdb", os.O_RDWR | os.O_CREAT)
    entry = b"example.com\0%d\0%d\0%b\0-\0" % (os.getuid(), os.getgid(), directory)
    cdb.write(fd, [(b"!example.com-", entry), (b"!alias.example-", entry)])
    os.close(fd)
    home.use(vpop, os.getuid(), os.getgid())
    put(vpop + b"/options", b"clear-passwd yes\npassword-hash md5\n")
    put(vpop + b"/etc/vlimits.default", b"")
    put(vpop + b"/etc/tcp.smtp", b'127.0.0.1:allow,RELAYCLIENT=""\n:allow\n')
    os.mkdir(directory + b"/joe")
    maildir.make(directory + b"/joe/Maildir")
    add(b"joe", hash=hashes.crypt(b"pw", b"$1$abcdefgh$"), clear=b"pw", directory=directory + b"/joe")
    yield vpop
    home._known.clear()


def put(path, text):
    with open(path, "wb") as f:
        f.write(text)


def get(path):
    with open(path, "rb") as f:
        return f.read()


def domain():
    return assign.find(b"example.com")


def add(name, **fields):
    accounts.store(domain()).add(accounts.Account(name, **fields))


def change(**fields):
    def exchange(account):
        for field, value in fields.items():
            setattr(account, field, value)
    accounts.store(domain()).change(b"joe", exchange)


def attempt(name=b"joe@example.com", secret=b"pw", challenge=b"", service=POP):
    """("means", real name) or (exit code, text for the log)"""
    try:
        found = login.check(name, secret, challenge, service, IP)
    except Failure as why:
        return why.code, why.text
    return found.means, found.account.name


@pytest.mark.parametrize("name", [b"joe@example.com", b"JOE@Example.Com", b"joe%example.com", b"joe/example.com", b"joe@alias.example"])
def test_the_right_password(site, name):
    assert attempt(name) == (b"PLAIN", b"joe")


@pytest.mark.parametrize("name, secret, answer", [
    (b"joe@example.com", b"PW", (1, b"password fail joe@example.com:10.1.2.3")),
    (b"none@example.com", b"pw", (1, b"vpopmail user not found none@example.com:10.1.2.3")),
    (b"joe@none.example", b"pw", (1, b"vpopmail user not found joe@none.example:10.1.2.3")),
    (b"joe", b"pw", (1, b"vpopmail user not found joe@:10.1.2.3")),
    (b"@example.com", b"pw", (1, b"vpopmail user not found @example.com:10.1.2.3")),
    (b"", b"pw", (12, b"null user name given :10.1.2.3")),
    (b"joe@example.com", b"", (13, b"null password given joe@example.com:10.1.2.3")),
    (b'jo"e@example.com', b"pw", (20, b'invalid user/domain characters jo"e@example.com:10.1.2.3')),
    (b"joe@exa_mple.com", b"pw", (20, b"invalid user/domain characters joe@exa_mple.com:10.1.2.3"))])
def test_what_is_no_login(site, name, secret, answer):
    assert attempt(name, secret) == answer


def test_a_password_stands_in_the_log_only_where_that_is_asked_for(site):
    home._known["options"] = {**home.OPTIONS, b"logging": b"p"}
    assert attempt(secret=b"bad") == (1, b"password fail (pass: 'bad') joe@example.com:10.1.2.3")


@pytest.mark.parametrize("stored, secret, means", [
    (DES, b"rasmuslerdorf", b"PLAIN"), (DES, b"other", 1), (b"!" + DES, b"rasmuslerdorf", 1), (b"", b"pw", 15), (b"x", b"x", 1)])
def test_every_kind_of_hash(site, stored, secret, means):
    change(hash=stored, clear=b"")
    assert attempt(secret=secret)[0] == means


def test_apop_on_pop_and_cram_md5_on_smtp_only(site):
    apop = hashlib.md5(STAMP + b"pw").hexdigest().encode()
    cram = hmac.new(b"pw", STAMP, "md5").hexdigest().encode()
    for secret, service, means in ((apop, POP, b"APOP"), (apop, SMTP, 1), (apop.upper(), POP, 1), (cram, SMTP, b"CRAM-MD5"),
                                   (cram, POP, 1), (cram, IMAP, 1)):
        assert attempt(secret=secret, challenge=STAMP, service=service)[0] == means, (secret, service)
    assert attempt(secret=apop, challenge=STAMP + b"x")[0] == 1
    change(clear=b"")
    assert attempt(secret=apop, challenge=STAMP)[0] == 1


@pytest.mark.parametrize("key, text", [(b"k", b"t"), (b"k" * 64, b""), (b"k" * 65, b"text"), (b"", b"t" * 200)])
def test_hmac(key, text):
    assert login.hmac_md5(key, text) == hmac.new(key, text, "md5").hexdigest().encode()


@pytest.mark.parametrize("flags, service, refused", [
    (2, POP, True), (2, IMAP, False), (8, IMAP, True), (4, WEBMAIL, True), (4, POP, False), (2048, SMTP, True), (32, POP, False)])
def test_flags_close_a_service(site, flags, service, refused):
    change(flags=flags)
    expected = (1, service.encode() + b" access denied joe@example.com:10.1.2.3") if refused else (b"PLAIN", b"joe")
    assert attempt(service=service) == expected


def test_the_domains_flags_hold_too_but_not_for_who_overrides_them(site):
    put(site + b"/etc/vlimits.default", b"disable_pop\n")
    assert attempt()[0] == 1
    change(flags=8192)
    assert attempt()[0] == b"PLAIN"


def test_a_home_without_limits_limits_nobody(site):
    os.unlink(site + b"/etc/vlimits.default")
    assert attempt()[0] == b"PLAIN"


def test_the_first_password_is_learned_where_that_is_asked_for(site):
    change(hash=b"", clear=b"")
    assert attempt(secret=b"first")[0] == 15
    home._known["options"][b"learn-passwords"] = b"yes"
    assert attempt(secret=b"first")[0] == b"PLAIN"
    assert attempt(secret=b"other")[0] == 1 and attempt(secret=b"first")[0] == b"PLAIN"


def test_nobody_costs_a_computation_of_the_same_kind(site, monkeypatch):
    computed = []
    monkeypatch.setattr(hashes, "crypt", lambda password, setting: computed.append(setting[:3]))
    for name in (b"joe@example.com", b"none@example.com", b"joe@none.example"):
        attempt(name, b"bad")
    assert computed == [b"$1$"] * 3


def test_a_learned_password_is_told_to_the_old_webmail(site):
    change(hash=b"", clear=b"")
    home._known["options"] |= {b"learn-passwords": b"yes", b"sqwebmail-pass": b"yes"}
    assert attempt(secret=b"first")[0] == b"PLAIN"
    stored = accounts.store(domain()).get(b"joe").hash
    assert get(domain().directory + b"/joe/Maildir/sqwebmail-pass") == b"\t%b\n" % stored


@pytest.fixture
def both(site, monkeypatch):
    """The option passwd, and one account of the system, sam, with the password "secret"; what was compared, by whom."""
    found = []
    crypt = hashes.crypt
    assert home.option(b"passwd") == b"no"
    home._known["options"][b"passwd"] = b"yes"
    sam = system.Account(b"sam", 4242, 4242, b"/home/sam", b"/bin/false")

    def compare(name, password, account, field, **_):
        found.append("system")
        return account if account and password == b"secret" else None
    monkeypatch.setattr(hashes, "crypt", lambda password, setting: found.append("virtual") or crypt(password, setting))
    monkeypatch.setattr(system, "of_system", compare)
    monkeypatch.setattr(system, "lookup", lambda name: (sam, b"x") if name == b"sam" else (None, b""))
    monkeypatch.setattr(system.accounts, "private", lambda: None)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(checker.userdir, "note", lambda *_: None)
    monkeypatch.setattr(checker.userdir, "make", lambda *_: None)
    monkeypatch.setattr(roaming, "try_open", lambda ip: found.append("relay"))
    monkeypatch.setattr(system, "authenticate", lambda name, password: compare(name, password, *system.lookup(name)))
    monkeypatch.setattr(accounts, "store", lambda domain, inner=accounts.store(domain()): inner)
    monkeypatch.setattr(prot, "Acting", lambda *_: contextlib.nullcontext())
    return found


@pytest.mark.parametrize("name, secret, code", [
    (b"joe@example.com", b"bad", 1), (b"none@example.com", b"bad", 21), (b"sam", b"bad", 1), (b"nobody", b"bad", 21)])
def test_with_both_kinds_of_accounts_every_refusal_makes_the_same_comparisons(both, name, secret, code):
    connection = checker.Connection({b"TCPLOCALPORT": b"110", b"TCPREMOTEIP": IP}, b"")
    with pytest.raises(Failure) as why:
        checker.admit(connection, name, secret)
    assert (why.value.code, both) == (code, ["virtual", "system"])


def test_a_login_of_the_system_is_no_failure_of_a_virtual_user(both, run):
    connection = checker.Connection({b"TCPLOCALPORT": b"110", b"TCPREMOTEIP": IP}, b"")
    for _ in range(5):
        assert checker.admit(connection, b"sam", b"secret").uid == 4242
    assert failures.visit(b"sam@", IP, 0) == [] and both[-1] == "relay"


def test_who_was_admitted_survives_a_pipe():
    found = checker.Admitted(1, 2, name=b"n", address=b"n@d", directory=b"/d/n", base=b"/d", given=b"n", shell=b"s", quota=b"")
    assert checker.Admitted.unpack(found.pack()).__dict__ == found.__dict__
    with pytest.raises(ValueError):
        checker.Admitted.unpack(b"1\x002\0n")


def test_a_login_is_noted(site):
    joe = accounts.store(domain()).get(b"joe")
    assert userdir.last(domain(), joe) is None
    put(joe.directory + b"/lastauth", b"192.0.2.177 and more")
    userdir.note(domain(), joe, IP)
    seconds, ip = userdir.last(domain(), joe)
    assert ip == IP and abs(seconds - time.time()) < 100


def test_a_missing_directory_is_made_but_no_login_is_noted_in_it(site):
    joe = accounts.store(domain()).get(b"joe")
    joe.directory = domain().directory + b"/0/ann"
    userdir.note(domain(), joe, IP)
    os.mkdir(domain().directory + b"/0")
    assert userdir.make(domain(), joe) == joe.directory
    assert sorted(os.listdir(joe.directory + b"/Maildir")) == [b"cur", b"new", b"tmp"]


@pytest.mark.parametrize("environ, program, service, name", [
    ({"TCPLOCALPORT": b"110"}, b"x", POP, "pop3"), ({"TCPLOCALPORT": b"995"}, b"imapd", POP, "pop3s"),
    ({"TCPLOCALPORT": b"25"}, b"x", SMTP, "smtp"), ({"TCPLOCALPORT": b"465"}, b"x", SMTP, "smtps"),
    ({"TCPLOCALPORT": b"587"}, b"x", SMTP, "submission"), ({"TCPLOCALPORT": b"993"}, b"x", IMAP, "imaps"),
    ({"TCPLOCALPORT": b"1143"}, b"/usr/lib/imapd", IMAP, "1143"), ({}, b"/bin/true", SMTP, "0"), ({"TCPLOCALPORT": b"a%"}, b"x", POP, "0"),
    ({"TCPLOCALPORT": b"143", "TCPREMOTEIP": b"127.0.0.1"}, b"x", WEBMAIL, "webmail"),
    ({"TCPLOCALPORT": b"25", "TCPREMOTEIP": b"127.0.0.1"}, b"x", SMTP, "smtp")])
def test_which_service_it_is(environ, program, service, name):
    found = checker.Connection({os.fsencode(key): value for key, value in environ.items()}, program)
    assert (found.service, found.name) == (service, "vchkpw-" + name)


@pytest.mark.parametrize("environ, ip", [
    ({b"TCPREMOTEIP": b"::ffff:10.1.2.3"}, b"10.1.2.3"), ({b"REMOTE_HOST": b"10.7.7.7"}, b"10.7.7.7"), ({}, b""),
    ({b"TCPREMOTEIP": b"2001:db8::1"}, b"2001:db8::1"), ({b"TCPREMOTEIP": b"10.1.2.3\n%"}, b"10.1.2.3__")])
def test_where_the_client_is(environ, ip):
    assert checker.Connection(environ, b"").ip == ip


# ---------------------------------------------------------------- failures


@pytest.fixture
def run(site):
    os.mkdir(qmailhome.path("run"))
    put(qmailhome.path("control", "loginfailures"), b"3\n")


def test_after_many_failures_nothing_is_checked_for_a_while(run, monkeypatch):
    now = time.time()
    for _ in range(3):
        assert attempt(secret=b"bad")[1].startswith(b"password fail")
    assert attempt() == (1, b"too many failed logins joe@example.com:10.1.2.3")
    monkeypatch.setattr(failures.time, "time", lambda: now + failures.WINDOW + 1)
    assert attempt()[0] == b"PLAIN"


def test_failures_count_for_the_user_and_for_the_address(run):
    for user, ip in ((b"a@b", b"10.0.0.1"), (b"a@b", b"10.0.0.2"), (b"c@d", b"10.0.0.1"), (b"e@f", b"127.0.0.1"), (b"g@h", b"127.0.0.1")):
        failures.note(user, ip)
    assert failures.visit(b"a@b", b"10.0.0.1", 0) == [2, 2] and failures.visit(b"x@y", b"10.0.0.2", 0) == [0, 1]
    assert failures.visit(b"e@f", b"127.0.0.1", 0) == [1]
    failures.note(b"x@y", b"2001:db8::1")
    assert failures.visit(b"z@z", b"2001:db8:0:0:ffff::9", 0) == [0, 1] and failures.visit(b"z@z", b"2001:db8:0:1::1", 0) == [0, 0]


def test_a_full_bucket_loses_its_oldest(run, monkeypatch):
    monkeypatch.setattr(failures, "BUCKETS", 1)
    now = time.time()
    for number in range(failures.ENTRIES + 1):
        monkeypatch.setattr(failures.time, "time", lambda: now + number)
        failures.note(b"%d@x" % number, b"")
    counts = [failures.visit(b"%d@x" % number, b"", 0) for number in range(failures.ENTRIES + 1)]
    assert counts == [[0], *[[1]] * failures.ENTRIES]


@pytest.mark.parametrize("limit", [b"0", b"none"])
def test_no_limit(run, limit):
    home._known.setdefault("options", dict(home.OPTIONS))[b"login-failures"] = limit
    for _ in range(5):
        attempt(secret=b"bad")
    assert attempt()[0] == b"PLAIN" and not os.path.exists(failures.path())


# ---------------------------------------------------------------- relay


def rules(site):
    reader = cdb.read(site + b"/etc/tcp.smtp.cdb")
    return {key: reader.get(key) for key in (b"127.0.0.1", b"", b"10.1.2.3", b"10.9.9.9", b"2001:db8::1") if reader.get(key) is not None}


RELAY = b"+RELAYCLIENT=\0+RBLSMTPD=\0"
FIXED = {b"127.0.0.1": b"+RELAYCLIENT=\0", b"": b""}


def test_an_address_is_added_after_the_fixed_rules(site):
    roaming.open_relay(IP, 1000)
    roaming.open_relay(b"2001:db8::1", 1001)
    assert get(site + b"/etc/open-smtp") == LINE % (IP, 1000) + LINE % (b"2001:db8::1", 1001)
    assert rules(site) == {**FIXED, IP: RELAY, b"2001:db8::1": RELAY}


def test_a_known_address_gets_a_new_time_and_no_new_table(site):
    put(site + b"/etc/open-smtp", LINE % (IP, 1) + LINE % (b"10.9.9.9", 2) + LINE % (b"10.1.2.33", 3))
    roaming.open_relay(IP, 1000)
    assert get(site + b"/etc/open-smtp") == LINE % (b"10.9.9.9", 2) + LINE % (b"10.1.2.33", 3) + LINE % (IP, 1000)
    assert not os.path.exists(site + b"/etc/tcp.smtp.cdb")


@pytest.mark.parametrize("ip", [b"", b"host.example", b"10.1.2.3\n", b"_"])
def test_what_is_no_address_opens_nothing(site, ip):
    roaming.open_relay(ip)
    assert not os.path.exists(site + b"/etc/open-smtp")


def test_without_fixed_rules(site):
    os.unlink(site + b"/etc/tcp.smtp")
    roaming.open_relay(IP)
    assert rules(site) == {IP: RELAY}


def test_bad_rules_leave_the_old_table_and_the_login_goes_on(site, capfd):
    roaming.open_relay(b"10.9.9.9")
    put(site + b"/etc/tcp.smtp", b"1.2.3.4:perhaps\n")
    with pytest.raises(Permanent):
        roaming.open_relay(IP)
    roaming.try_open(b"10.1.2.4")
    assert b"10.9.9.9" in rules(site)
    assert capfd.readouterr().err == ("tcprules: fatal: unable to parse this line: 1.2.3.4:perhaps\n"
                                      "Warning: update_rules() - tcprules failed\n")


def identity(site):
    """Which file the table is: another one after each time it was made."""
    return os.stat(site + b"/etc/tcp.smtp.cdb").st_ino


def test_one_table_serves_all_who_came_before_it(site, monkeypatch):
    roaming.open_relay(b"10.9.9.9")
    with open(site + b"/etc/tcp.smtp.cdb", "rb"), monkeypatch.context() as patch:      # its number is not used again
        before, slept = identity(site), []
        patch.setattr(roaming.time, "sleep", slept.append)
        roaming.make_table(b"10.9.9.9")                     # somebody else made it: nothing to do
        assert identity(site) == before
        roaming.open_relay(IP)
        assert identity(site) != before
    assert all(0 < pause <= roaming.BETWEEN for pause in slept)


def test_an_address_that_did_not_get_into_the_table_gets_there_with_its_next_login(site):
    put(site + b"/etc/open-smtp", LINE % (IP, int(time.time())))
    roaming.make_table()
    put(site + b"/etc/open-smtp", LINE % (b"10.9.9.9", 1) + LINE % (IP, int(time.time())))
    assert b"10.9.9.9" not in rules(site)
    roaming.open_relay(b"10.9.9.9")
    assert rules(site) == {**FIXED, b"10.9.9.9": RELAY, IP: RELAY}


def test_a_damaged_table_is_made_anew(site):
    put(site + b"/etc/open-smtp", LINE % (IP, int(time.time())))
    put(site + b"/etc/tcp.smtp.cdb", b"damaged")
    roaming.open_relay(IP)
    assert rules(site) == {**FIXED, IP: RELAY}


def test_a_clock_set_back_hides_no_login(site):
    roaming.open_relay(b"10.9.9.9")
    later = time.time() + 10_000
    os.utime(site + b"/etc/tcp.smtp.cdb", (later, later))
    roaming.open_relay(IP)
    assert rules(site)[IP] == RELAY


@pytest.mark.parametrize("given, ip", [(b"2001:DB8:0:0::1", b"2001:db8::1"), (b"10.1.2.3", IP), (b"10.1.2", None), (b"cafe", None),
                                       (b"::g", None), (b"", None), (b"\xff", None), (b"1\0", None),
                                       (b"::ffff:10.1.2.3", IP), (b"::ffff:a01:203", IP)])
def test_addresses_have_one_form(given, ip):
    assert roaming.network_client(given) == ip


BURST = 200


def test_a_burst_of_logins_makes_few_tables_and_none_waits_for_another_login(site):
    """Each login finds itself in the table when it is through, and yet there are no more tables than time allows."""
    count = mmap.mmap(-1, 8)
    rename = os.rename

    def counted(source, target):
        rename(source, target)
        if target.endswith(b".cdb"):        # under its lock: one at a time
            count[:] = (int.from_bytes(count[:], "big") + 1).to_bytes(8, "big")

    def one(number):
        ip = b"10.3.%d.%d" % divmod(number, 250)
        os.rename = counted
        roaming.open_relay(ip)
        return 0 if roaming.listed(ip) else 1
    began = time.monotonic()
    pids = [child.fork(lambda: one(number)) for number in range(BURST)]
    assert [child.wait(pid) for pid in pids] == [0] * BURST
    made = int.from_bytes(count[:], "big")
    assert 1 <= made <= 2 + (time.monotonic() - began) / (0.9 * roaming.BETWEEN)
    assert get(site + b"/etc/open-smtp").count(b"\n") == BURST


def test_what_is_over_is_cleared(site):
    put(site + b"/etc/open-smtp", LINE % (b"10.9.9.9", 1000) + LINE % (IP, 1001) + b"10.0.0.3:allow\n")
    roaming.expire(1000 + 180 * 60)
    assert get(site + b"/etc/open-smtp") == LINE % (IP, 1001)
    assert rules(site) == {**FIXED, IP: RELAY}


def test_what_was_opened_under_a_clock_far_ahead_is_closed(site):
    put(site + b"/etc/open-smtp", LINE % (b"10.9.9.9", 1000 + 10 * 86_400) + LINE % (IP, 1000 + 3600))
    roaming.expire(1000)
    assert get(site + b"/etc/open-smtp") == LINE % (IP, 1000 + 3600)


def test_clearing_nothing_makes_the_table_all_the_same(site):
    roaming.expire()
    assert rules(site) == FIXED and not os.path.exists(site + b"/etc/open-smtp")


@pytest.mark.parametrize("options, rules, code, said", [
    (b"", b":allow\n", 0, b""), (b"roaming-users no\n", b"x:y\n", 0, clearopensmtp.DISABLED), (b"", b"x:y\n", 100, b""),
    (b"relay-clear-minutes 3h\n", b":allow\n", 100, b""), (b"relay-clear-minutes " + b"9" * 5000, b":allow\n", 100, b"")])
def test_clearopensmtp(site, options, rules, code, said, capfdbinary):
    put(site + b"/options", options)
    home._known.pop("options", None)
    put(site + b"/etc/tcp.smtp", rules)
    try:
        assert clearopensmtp.main([]) == code
    except Permanent:                       # errors.run: 100
        assert code == 100
    assert capfdbinary.readouterr().out == said


def test_clearopensmtp_without_its_directory(site):
    os.rename(site + b"/etc", site + b"/gone")
    with pytest.raises(OSError):            # errors.run: 111
        clearopensmtp.main([])


@pytest.fixture
def checked(site, monkeypatch):
    """vchkpw's main() for what comes on descriptor 3: (exit code, log lines, what was executed)."""
    def run(data, argv=(b"/bin/prog",), **environ):
        log, executed = [], []
        monkeypatch.setattr(vchkpw.checkpassword, "receive", lambda: data)
        monkeypatch.setattr(vchkpw.child, "environment", lambda: {
            b"TCPLOCALPORT": b"110", b"TCPREMOTEIP": IP, **{os.fsencode(key): value for key, value in environ.items()}})
        monkeypatch.setattr(vchkpw.child, "execute", lambda argv, env: executed.append((argv, env, os.getcwdb())))
        monkeypatch.setattr(loginlog, "send", lambda service, text: log.append(text))
        monkeypatch.setattr(checker.prot, "become", lambda *ids: None)
        return vchkpw.main(list(argv)), log, executed
    return run


def test_vchkpw_runs_the_program_in_the_users_directory(checked, site):
    code, log, [(argv, environ, where)] = checked(b"JOE@example.com\0pw\0stamp\0")
    directory = domain().directory + b"/joe"
    assert (code, log, argv, where) == (111, [], [b"/bin/prog"], os.path.realpath(directory))   # if it cannot be run
    wanted = {b"USER": b"joe", b"HOME": directory, b"SHELL": b"NOLOGIN", b"VPOPUSER": b"joe@example.com"}
    assert wanted.items() <= environ.items()
    assert get(directory + b"/lastauth") == IP and get(site + b"/etc/open-smtp").startswith(IP)


@pytest.mark.parametrize("flags, environ", [(32, {}), (0, {"TCPLOCALPORT": b"25"}), (0, {"TCPREMOTEIP": b""})])
def test_vchkpw_opens_no_relay(checked, site, flags, environ):
    change(flags=flags)
    assert len(checked(b"joe@example.com\0pw\0", **environ)[2]) == 1
    assert not os.path.exists(site + b"/etc/open-smtp")


@pytest.mark.parametrize("data, argv, code", [
    (b"joe@example.com\0no\0\0", [b"p"], 1), (b"joe@example.com", [b"p"], 13), (b"", [b"p"], 12), (None, [b"p"], 1), (b"a\0b\0", [], 2)])
def test_vchkpw_refuses(checked, data, argv, code):
    found, _, executed = checked(data, argv)
    assert found == code and executed == []


def test_limits_are_the_domains(site):
    joe = accounts.store(domain()).get(b"joe")
    put(domain().directory + b"/.qmailadmin-limits", b"disable_external_relay\n")
    assert limits.effective(domain(), joe) == 32
