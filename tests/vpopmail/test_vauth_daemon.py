"""vpopmaild: its dialogue, and who may do what."""
import os
import socket
import threading

import pytest

from pyqmail.auth import hashes
from pyqmail.base import cdb, maildir
from pyqmail.base import home as qmailhome
from pyqmail.vpopmail import accounts, assign, daemon, flags, home

OK, MORE = b"+OK ", b"+OK+"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """example.com with joe, the administrators adm (of the domain) and sys; other.example with ann. All have pw."""
    vpop, q = os.fsencode(tmp_path / "vpop"), os.fsencode(tmp_path / "q")
    for path in (vpop + b"/etc", q + b"/users", q + b"/control"):
        os.makedirs(path)
    monkeypatch.setattr(qmailhome, "HOME", os.fsdecode(q))
    for name in (b"VPOPMAIL_DOMAIN", b"TCPLOCALIP"):
        monkeypatch.delitem(os.environb, name, raising=False)
    home.use(vpop, os.getuid(), os.getgid())
    records, lines = [], []
    for name in (b"example.com", b"other.example"):
        directory = vpop + b"/domains/" + name
        os.makedirs(directory)
        fields = (name, b"%d" % os.getuid(), b"%d" % os.getgid(), directory)
        records.append((b"!%b-" % name, b"\0".join((*fields, b"-", b""))))
        lines.append(b"+%b-:%b:-::\n" % (name, b":".join(fields)))
    fd = os.open(q + b"/users/cdb", os.O_RDWR | os.O_CREAT)
    cdb.write(fd, records)
    os.close(fd)
    write(q + b"/users/assign", b"".join(lines) + b".\n")
    write(vpop + b"/etc/vlimits.default", b"")
    write(vpop + b"/options", b"password-hash md5\nclear-passwd yes\n")
    hashed = hashes.crypt(b"pw", b"$1$abcdefgh$")
    for address, own in ((b"joe@example.com", 0), (b"adm@example.com", flags.QA_ADMIN), (b"sys@example.com", flags.SA_ADMIN),
                         (b"ann@other.example", 0)):
        user, _, name = address.partition(b"@")
        directory = vpop + b"/domains/%b/%b" % (name, user)
        os.mkdir(directory)
        maildir.make(directory + b"/Maildir")
        accounts.store(assign.find(name)).add(accounts.Account(user, hashed, 1, own, user, directory, b"NOQUOTA", b"pw"))
    yield vpop + b"/domains"
    home._known.clear()


def write(path, text):
    with open(path, "wb") as f:
        f.write(text)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def talk(*lines, user=None):
    """(exit code, answers as lists of lines). user: logs in first; that answer is left out."""
    ours, theirs = socket.socketpair()
    lines = ([b"slogin %b pw" % user] if user else []) + list(lines)
    codes = []
    thread = threading.Thread(target=lambda: (codes.append(daemon.Session(theirs.fileno(), theirs.fileno()).run()), theirs.close()))
    thread.start()
    ours.sendall(b"".join(line + b"\r\n" for line in lines))
    ours.shutdown(socket.SHUT_WR)
    data = b""
    while piece := ours.recv(65536):
        data += piece
    thread.join()
    ours.close()
    answers, found = [], data.split(b"\r\n")[:-1]
    while found:
        line = found.pop(0)
        if line == MORE:
            end = found.index(b".")
            answers.append(found[:end])
            found = found[end + 1:]
        else:
            answers.append(line)
    return codes[0], answers[2 if user else 1:]


def ask(user, *lines):
    return talk(*lines, b"quit", user=user)[1][:-1]


JOE, ADM, SYS = b"joe@example.com", b"adm@example.com", b"sys@example.com"
NOT_FOR_DOMAIN, TOO_MANY = b"Not Authorized for domain", b"Too many invalid login attempts"


@pytest.mark.parametrize("lines, code, last", [
    ([b"quit"], 0, OK), ([], 255, b"-ERR 3.103 Read Timeout"), ([b"foo"] * 5, 255, b"-ERR 5.102 " + TOO_MANY),
    ([b"slogin joe@example.com bad"] * 4, 255, b"-ERR 5.101 " + TOO_MANY),
    ([b"slogin joe@example.com pw"], 255, b"-ERR 3.103 Read Timeout")])
def test_how_it_ends(place, lines, code, last):
    found, answers = talk(*lines)
    assert found == code and answers[-1] == last


def test_a_line_without_an_end():
    source, sink = os.memfd_create("in"), os.memfd_create("out")
    os.pwrite(source, b"x" * 9000, 0)
    assert daemon.Session(source, sink).run() == 255
    assert os.pread(sink, 1000, 0) == b"+OK \r\n-ERR 2.103 Line too long\r\n"
    os.close(source)
    os.close(sink)


@pytest.mark.parametrize("line, answer", [
    (b"foo", b"-ERR 4.104 Invalid Command"), (b"slogin", b"-ERR 6.203 Email Address Required"),
    (b"login joe@example.com", b"-ERR 7.204 Password Required"), (b"slogin j:e@x pw", b"-ERR 8.205 Invalid Email Address or Password"),
    (b"slogin joe@example.com no", b"-ERR 8.205 Invalid Email Address or Password"), (b"SLOGIN joe@example.com pw", OK)])
def test_before_the_login(place, line, answer):
    assert talk(line, b"quit")[1][0] == answer


def test_what_a_login_tells(place):
    full, compact = talk(b"login joe@example.com pw", b"quit")[1][0], talk(b"clogin joe@example.com pw", b"quit")[1][0]
    assert b"name joe" in full and b"system_admin_privileges 0" in full and b"gidflags 0" in compact
    assert full[4:10] == compact[4:10] and b"domain_dir %b/example.com" % place in full


@pytest.mark.parametrize("line", [
    b"user_info adm@example.com", b"user_info ann@other.example", b"add_user new@example.com pw", b"del_user adm@example.com",
    b"list_users example.com", b"mod_user adm@example.com", b"add_alias l@example.com a@b.example", b"get_limits example.com",
    b"get_domain_size example.com", b"list_alias example.com", b"user_count example.com"])
def test_a_user_has_only_himself(place, line):
    [answer] = ask(JOE, line)
    assert answer.startswith(b"-ERR 11.") and answer.endswith(NOT_FOR_DOMAIN)


@pytest.mark.parametrize("line", [
    b"add_domain new.example pw", b"del_domain example.com", b"list_domains", b"domain_count", b"set_limits example.com", b"del_limits example.com",
    b"add_ip_map 10.0.0.1 example.com", b"show_ip_map", b"dom_info example.com", b"add_alias_domain example.com x.example", b"find_domain x"])
@pytest.mark.parametrize("user", [JOE, ADM])
def test_only_a_system_administrator(place, user, line):
    [answer] = ask(user, line)
    assert answer.startswith(b"-ERR 9.")


@pytest.mark.parametrize("line", [b"user_info ann@other.example", b"add_user x@other.example pw", b"list_users other.example", b"list_users"])
def test_a_domain_administrator_has_only_his_domain(place, line):
    [answer] = ask(ADM, line)
    assert answer.startswith(b"-ERR 11.")


def test_a_user_changes_his_own_password_and_nothing_that_counts(place):
    assert ask(JOE, b"mod_user joe@example.com", b"comment Joe", b"clear_text_password new", b".") == [OK, OK]
    joe = accounts.store(assign.find(b"example.com")).get(b"joe")
    assert joe.comment == b"Joe" and joe.clear == b"new" and hashes.matches(b"new", joe.hash)
    for line in (b"quota 1G", b"domain_admin_privileges 1", b"encrypted_password x", b"clear_all_flags"):
        answers = talk(b"slogin joe@example.com new", b"mod_user joe@example.com", line, b".", b"quit")[1]
        assert answers[1:3] == [OK, b"-ERR 9.505 Not Authorized"], line


def test_a_user_whose_password_is_fixed(place):
    accounts.store(assign.find(b"example.com")).change(b"joe", lambda account: setattr(account, "flags", 1))
    assert ask(JOE, b"mod_user joe@example.com", b"clear_text_password new", b".")[1].startswith(b"-ERR 9.")


def test_nobody_makes_himself_a_system_administrator(place):
    for name in (b"adm", b"joe"):
        assert ask(ADM, b"mod_user %b@example.com" % name, b"system_admin_privileges 1", b".")[1].startswith(b"-ERR 9.508")
        assert not accounts.store(assign.find(b"example.com")).get(name).flags & flags.SA_ADMIN
    assert ask(ADM, b"mod_user sys@example.com", b"clear_text_password mine", b".")[0].startswith(b"-ERR 9.504")
    assert ask(ADM, b"del_user sys@example.com")[0].startswith(b"-ERR 9.404")


def test_a_domain_administrator_at_work(place):
    answers = ask(ADM, b"add_user new@example.com npw", b"user_info new@example.com", b"mod_user new@example.com", b"no_pop 1",
                  b"quota 1000", b".", b"user_info new@example.com", b"user_count example.com", b"get_user_size new@example.com",
                  b"del_user new@example.com", b"user_info new@example.com", b"add_user new@example.com")
    assert answers[0] == OK and b"gidflags 0" in answers[1] and answers[2:4] == [OK, OK]
    assert b"gidflags 2" in answers[4] and b"quota 1000S" in answers[4]
    assert answers[5:] == [[b"count 4"], [b"size 0", b"count 0"], OK, b"-ERR 12.605 User does not exist", b"-ERR 7.302 Password Required"]


def test_limits_hold_for_a_domain_administrator(place):
    assert ask(SYS, b"set_limits example.com", b"perm_account 1", b"perm_quota 2", b"max_popaccounts 7", b"disable_pop 1", b".") == [OK, OK]
    shown = ask(SYS, b"get_limits example.com")[0]
    assert {b"perm_account 1", b"max_popaccounts 7", b"disable_pop 1"} <= set(shown) and shown[-1] == shown[-2]
    assert ask(ADM, b"add_user xx@example.com pw")[0].startswith(b"-ERR 9.303")
    assert ask(ADM, b"mod_user joe@example.com", b"quota 5", b".")[1].startswith(b"-ERR 9.506")
    assert ask(SYS, b"add_user xx@example.com pw", b"del_limits example.com") == [OK, OK]
    assert ask(ADM, b"add_user yy@example.com pw") == [OK]


def test_aliases_are_addresses(place):
    assert ask(ADM, b"add_alias l@example.com |rm", b"add_alias l@example.com |a@b", b"add_alias l@example.com a@b.example",
               b"add_alias l@example.com c@b.example", b"list_alias example.com", b"remove_alias l@example.com a@b.example",
               b"list_alias example.com", b"delete_alias l@example.com", b"list_alias example.com")[2:] == [
        OK, OK, [b"l@example.com a@b.example", b"l@example.com c@b.example"], OK, [b"l@example.com c@b.example"], OK, []]
    assert not any(b"|" in read(place + b"/example.com/" + name)[:1] for name in os.listdir(place + b"/example.com") if name.startswith(b".qmail"))


def test_pages(place):
    assert ask(SYS, b"list_domains", b"list_domains 2 1", b"list_domains 0 1", b"find_domain other.example 1", b"domain_count") == [
        [b"example.com example.com", b"other.example other.example"], [b"other.example other.example"], b"-ERR 14.1702 Invalid page",
        [b"page 2"], [b"count 2"]]
    assert ask(ADM, b"list_users example.com 2 1")[0][0] == b"name joe"


def test_the_ip_map(place):
    assert ask(SYS, b"get_ip_map 10.0.0.1", b"add_ip_map 10.0.0.1 example.com", b"get_ip_map 10.0.0.1", b"show_ip_map",
               b"del_ip_map 10.0.0.1 example.com", b"show_ip_map") == [
        b"-ERR 0.3003 error", OK, [b"10.0.0.1 example.com"], [b"10.0.0.1 example.com"], OK, []]


def test_files_of_ones_own(place):
    own = place + b"/example.com/joe"
    assert ask(JOE, b"mk_dir %b/d" % own, b"write_file %b/d/f" % own, b"one", b"..", b"two", b".", b"read_file %b/d/f" % own,
               b"rename_file %b/d/f %b/g" % (own, own), b"list_dir %b/d" % own, b"rm_dir %b/d" % own, b"rm_file %b/g" % own,
               b"read_file %b/g" % own)[:7] == [OK, OK, OK, [b"one", b"..", b"two"], OK, [], OK]
    assert not os.path.exists(own + b"/d") and not os.path.exists(own + b"/g")


@pytest.mark.parametrize("user, path", [
    (JOE, b"/example.com/adm/x"), (JOE, b"/example.com/joe/../adm/x"), (JOE, b"/example.com/x"), (JOE, b"/example.com/joe"), (ADM, b"/other.example/ann/x"),
    (ADM, b"/example.com/vpasswd"), (ADM, b"/example.com/vpasswd.cdb"), (ADM, b"/example.com/.qmailadmin-limits"), (SYS, b"/example.com/vpasswd"), (SYS, b"/x")])
def test_files_that_are_out_of_reach(place, user, path):
    for command in (b"read_file ", b"rm_file ", b"mk_dir ", b"write_file ", b"rename_file /x "):
        [answer] = ask(user, command + place + path)
        assert answer.startswith(b"-ERR 9."), command


def test_no_symbolic_link_is_followed(place):
    os.symlink(place + b"/other.example/ann", place + b"/example.com/joe/way")
    os.symlink(place + b"/example.com/vpasswd", place + b"/example.com/joe/table")
    for line in (b"list_dir %b/example.com/joe/way", b"mk_dir %b/example.com/joe/way/x", b"read_file %b/example.com/joe/table"):
        [answer] = ask(JOE, line % place)
        assert answer.startswith(b"-ERR 0.406"), line


@pytest.mark.parametrize("text, allowed", [
    (b"&a@b.example", True), (b"./Maildir/", True), (b"# x", True), (b"|id", False), (b" |id", False), (b"&|id", False),
    (b"/other/Maildir/", False), (b"../adm/Maildir/", False)])
@pytest.mark.parametrize("user, name", [(JOE, b"joe/.qmail"), (ADM, b".qmail-x")])
def test_instructions_that_run_nothing(place, user, name, text, allowed):
    ask(user, b"write_file %b/example.com/%b" % (place, name), text, b".")
    assert os.path.exists(place + b"/example.com/" + name) is allowed


def test_instructions_come_from_no_other_file(place):
    own = place + b"/example.com/joe"
    write(own + b"/x", b"|id\n")
    [answer] = ask(JOE, b"rename_file %b/x %b/.qmail" % (own, own))
    assert answer.startswith(b"-ERR 9.2902")


def test_lists_need_ezmlm_and_nonsense_is_told(place):
    assert ask(ADM, b"add_list example.com l", b"nonsense", b"user_info j:e@x", b"") == [
        b"-ERR 0.3801 mailing lists need ezmlm, which is not installed", b"-ERR 4.403 Invalid Command", b"-ERR 10.404 Invalid Email Address",
        b"-ERR 4.403 Invalid Command"]
