"""vpopmaild: its dialogue, and who may do what."""
import contextlib
import os
import socket
import threading

import pytest

from pyqmail.auth import hashes
from pyqmail.base import accounts as accounts_of_roles, cdb, child, maildir, sandbox
from pyqmail.base import home as qmailhome
from pyqmail.vpopmail import accounts, assign, daemon, daemon_front, flags, home

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
    ([b"slogin joe@example.com bad"] * 4, 255, b"-ERR 5.105 " + TOO_MANY),
    ([b"slogin joe@example.com pw"], 255, b"-ERR 3.106 Read Timeout")])
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
    (b"login joe@example.com", b"-ERR 7.204 Password Required"), (b"slogin j:e@x pw", b"-ERR 8.207 Invalid Login"),
    (b"slogin joe@example.com no", b"-ERR 8.207 Invalid Login"), (b"SLOGIN joe@example.com pw", OK)])
def test_before_the_login(place, line, answer):
    assert talk(line, b"quit")[1][0] == answer


def test_what_a_login_tells(place):
    full, compact = talk(b"login joe@example.com pw", b"quit")[1][0], talk(b"clogin joe@example.com pw", b"quit")[1][0]
    assert b"name joe" in full and b"system_admin_privileges 0" in full and b"gidflags 0" in compact
    assert full[4:10] == compact[4:10] and b"domain_dir %b/example.com" % place in full


@pytest.mark.parametrize("line", [
    b"user_info adm@example.com", b"user_info ann@other.example", b"add_user new@example.com pw", b"del_user adm@example.com",
    b"list_users example.com", b"user_info joe@example.com", b"add_alias l@example.com a@b.example", b"get_limits example.com",
    b"get_domain_size example.com", b"list_alias example.com", b"user_count example.com", b"add_list example.com l"])
def test_a_user_administers_nothing(place, line):
    assert ask(JOE, line) == [b"-ERR 4.107 Invalid Command"]


def test_a_user_has_only_himself(place):
    assert ask(JOE, b"mod_user adm@example.com", b"mod_user ann@other.example", b"get_lastauth joe@example.com",
               b"get_user_size joe@example.com", b"get_ip_map 10.0.0.1") == [
        b"-ERR 11.504 Not Authorized for domain", b"-ERR 11.504 Not Authorized for domain", b"-ERR 9.3701 Not Authorized",
        b"-ERR 3801 not authorized", b"-ERR 9.3001 Not Authorized"]


@pytest.mark.parametrize("line", [
    b"add_domain new.example pw", b"del_domain example.com", b"list_domains", b"domain_count", b"set_limits example.com", b"del_limits example.com",
    b"add_ip_map 10.0.0.1 example.com", b"show_ip_map", b"dom_info example.com", b"add_alias_domain example.com x.example", b"find_domain x"])
@pytest.mark.parametrize("user", [JOE, ADM])
def test_only_a_system_administrator(place, user, line):
    assert ask(user, line) == [b"-ERR 4.107 Invalid Command"]


@pytest.mark.parametrize("line, answer", [
    (b"user_info ann@other.example", b"11.604 Not Authorized for domain"), (b"list_users", b"6.2702 Email Address Required"),
    (b"add_user x@other.example pw", b"11.304 Not Authorized for domain"), (b"del_user ann@other.example", b"9.404 Not Authorized"),
    (b"list_users other.example", b"11.2703 Not Authorized for domain"), (b"get_limits example.com", b"9.3401 Not Authorized"),
    (b"get_domain_size other.example", b"3903 not authorized for domain"), (b"mod_user ann@other.example", b"11.503 Not Authorized for domain")])
def test_a_domain_administrator_has_only_his_domain(place, line, answer):
    assert ask(ADM, line) == [b"-ERR " + answer]


def test_postmaster_administers_his_domain(place):
    store = accounts.store(assign.find(b"example.com"))
    store.add(accounts.Account(b"postmaster", store.get(b"joe").hash, 1, 0, b"", place + b"/example.com/postmaster", b"NOQUOTA", b"pw"))
    assert ask(b"postmaster@example.com", b"add_user new@example.com pw") == [OK]
    assert b"domain_admin_privileges 1" in talk(b"login postmaster@example.com pw", b"quit")[1][0]


def test_a_user_changes_his_own_password_and_nothing_that_counts(place):
    assert ask(JOE, b"mod_user joe@example.com", b"comment Joe", b"clear_text_password new", b".") == [OK, OK]
    joe = accounts.store(assign.find(b"example.com")).get(b"joe")
    assert joe.comment == b"Joe" and joe.clear == b"new" and hashes.matches(b"new", joe.hash)
    before = accounts.store(assign.find(b"example.com")).get(b"joe")
    for line in (b"quota 1G", b"domain_admin_privileges 1", b"clear_all_flags 1", b"no_pop 1", b"nonsense 1", b"comment", b""):
        answers = talk(b"slogin joe@example.com new", b"mod_user joe@example.com", line, b".", b"quit")[1]
        assert answers[1:3] == [OK, OK], line
    assert accounts.store(assign.find(b"example.com")).get(b"joe") == before
    assert talk(b"slogin joe@example.com new", b"mod_user joe@example.com", b"user_flag_2=1", b"delete_spam:1", b".", b"quit")[1][1:3] == [OK, OK]
    assert accounts.store(assign.find(b"example.com")).get(b"joe").flags == flags.V_USER2 | flags.DELETE_SPAM


def test_a_user_whose_password_is_fixed(place):
    accounts.store(assign.find(b"example.com")).change(b"joe", lambda account: setattr(account, "flags", 1))
    hashed = accounts.store(assign.find(b"example.com")).get(b"joe").hash
    assert ask(JOE, b"mod_user joe@example.com", b"clear_text_password new", b"encrypted_password x", b".") == [OK, OK]
    assert accounts.store(assign.find(b"example.com")).get(b"joe").hash == hashed


def test_nobody_makes_himself_a_system_administrator(place):
    for name in (b"adm", b"joe"):
        assert ask(ADM, b"mod_user %b@example.com" % name, b"system_admin_privileges 1", b"override_domain_limits 1", b".") == [OK, OK]
        assert not accounts.store(assign.find(b"example.com")).get(name).flags & (flags.SA_ADMIN | flags.V_OVERRIDE)
    assert ask(ADM, b"mod_user sys@example.com", b"clear_text_password mine", b".")[0].startswith(b"-ERR 9.504")
    assert ask(ADM, b"del_user sys@example.com")[0].startswith(b"-ERR 9.404")


def test_a_domain_administrator_at_work(place):
    accounts.store(assign.find(b"example.com")).change(
        b"adm", lambda account: setattr(account, "flags", flags.QA_ADMIN | flags.V_OVERRIDE))
    answers = ask(ADM, b"add_user new@example.com npw", b"user_info new@example.com", b"mod_user new@example.com", b"no_pop 1",
                  b"quota 1000", b"domain_admin_privileges 1", b".", b"user_info new@example.com", b"user_count example.com", b"get_user_size new@example.com",
                  b"del_user new@example.com", b"user_info new@example.com", b"add_user new@example.com")
    assert answers[0] == OK and b"gidflags 0" in answers[1] and answers[2:4] == [OK, OK]
    assert b"gidflags 4098" in answers[4] and b"quota 1000S" in answers[4]
    assert answers[5:] == [[b"count 4"], [b"size 0", b"count 0"], OK, b"-ERR 12.605 User does not exist", b"-ERR 7.305 Password Required"]


def test_limits_hold_for_a_domain_administrator(place):
    assert ask(SYS, b"set_limits example.com", b"perm_account 1", b"perm_quota 2", b"max_popaccounts 7", b"disable_pop 1", b".") == [OK, OK]
    shown = ask(SYS, b"get_limits example.com")[0]
    assert {b"perm_account 1", b"max_popaccounts 7", b"disable_pop 1"} <= set(shown) and shown[-1] == shown[-2]
    assert ask(ADM, b"add_user xx@example.com pw")[0].startswith(b"-ERR 9.301")
    assert ask(ADM, b"mod_user joe@example.com", b"quota 5", b".") == [OK, OK]
    assert accounts.store(assign.find(b"example.com")).get(b"joe").quota == b"NOQUOTA"
    assert ask(SYS, b"set_limits example.com", b"x 1", b"disable_pop", b"max_forwards=3", b".") == [
        OK, b"  Warning: invalid option", b"  Warning: missing value", OK]
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
        [b"example.com example.com", b"other.example other.example"], [b"other.example other.example"], [b"example.com example.com", b"other.example other.example"],
        [b"page 2"], [b"count 2"]]
    assert ask(SYS, b"find_domain none.example") == [[]]
    assert ask(ADM, b"list_users example.com 2 1")[0][0] == b"name joe"


def test_the_ip_map(place):
    assert ask(SYS, b"get_ip_map 10.0.0.1", b"add_ip_map 10.0.0.1 example.com", b"get_ip_map 10.0.0.1", b"show_ip_map",
               b"del_ip_map 10.0.0.1 example.com", b"show_ip_map") == [
        b"-ERR 0.3003 error", OK, [b"10.0.0.1 example.com"], [b"10.0.0.1 example.com"], OK, []]


def test_files_of_ones_own(place):
    own = place + b"/example.com/joe"
    assert ask(JOE, b"mk_dir %b/d" % own, b"write_file %b/d/f" % own, b"one", b"..", b"two", b".", b"read_file %b/d/f" % own,
               b"rename_file %b/d/f %b/g" % (own, own), b"list_dir %b/d" % own, b"rm_dir %b/d" % own, b"rm_file %b/g" % own,
               b"read_file %b/g" % own) == [
        OK, OK, [b"one", b"..", b"two"], OK, [], OK, OK, b"-ERR 0.2102 No such file or directory"]
    assert not os.path.exists(own + b"/d") and not os.path.exists(own + b"/g")


@pytest.mark.parametrize("user, path", [
    (JOE, b"/example.com/adm/x"), (JOE, b"/example.com/joe/../adm/x"), (JOE, b"/example.com/x"), (JOE, b"/example.com/joe"), (ADM, b"/other.example/ann/x"),
    (ADM, b"/example.com/vpasswd"), (ADM, b"/example.com/vpasswd.cdb"), (ADM, b"/example.com/.qmailadmin-limits"), (SYS, b"/example.com/vpasswd"), (SYS, b"/x")])
def test_files_that_are_out_of_reach(place, user, path):
    for command in (b"read_file ", b"rm_file ", b"mk_dir ", b"write_file ", b"rename_file " + place + path + b" "):
        [answer] = ask(user, command + place + path, *[b"."] * command.startswith(b"write"))
        assert answer.startswith((b"-ERR 26.151", b"-ERR 20.1501", b"-ERR 29.3801")), command


def test_no_symbolic_link_is_followed(place):
    os.symlink(place + b"/other.example/ann", place + b"/example.com/joe/way")
    os.symlink(place + b"/example.com/vpasswd", place + b"/example.com/joe/table")
    for line in (b"list_dir %b/example.com/joe/way", b"mk_dir %b/example.com/joe/way/x", b"read_file %b/example.com/joe/table"):
        [answer] = ask(JOE, line % place)
        assert answer.startswith((b"-ERR 0.1802", b"-ERR 0.1602", b"-ERR 0.2102")), line


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
    assert answer.startswith(b"-ERR 26.1512")


@pytest.mark.parametrize("path, answer", [
    (b"joe@example.com/x", [b"hello"]), (b"example.com/joe/x", [b"hello"]), (b"x", b"22.1503"), (b"a/joe@example.com", b"23.1504"),
    (b"j:e@example.com/x", b"24.1505"), (b"none@example.com/x", b"25.1506"), (b"ann@other.example/x", b"11.1507"),
    (b"none.example/x", b"11.1509"), (b"other.example/ann/x", b"26.1511"), (b"joe@example.com/%s", b"21.1502"), (b"", b"30.2101")])
def test_paths_that_start_with_a_name(place, path, answer):
    write(place + b"/example.com/joe/x", b"hello\n")
    [found] = ask(ADM, b"read_file " + path)
    assert found == answer if isinstance(answer, list) else found.startswith(b"-ERR %b " % answer)


def test_what_is_in_a_directory(place):
    own = place + b"/example.com/joe"
    os.mkfifo(own + b"/p")
    os.symlink(b"x", own + b"/l")
    write(own + b"/f", b"")
    assert ask(JOE, b"list_dir joe@example.com/Maildir/..", b"list_dir joe@example.com/Maildir", b"stat_file %b/f" % own)[1:] == [
        [b"cur dir", b"new dir", b"tmp dir"], [b"uid: %d" % os.getuid()]]
    assert {b"p fifo", b"l link", b"f file", b"Maildir dir"} <= set(ask(ADM, b"list_dir example.com/joe")[0])


def test_lists(place):
    write(place + b"/example.com/.qmail-list", b"|/usr/bin/ezmlm-reject\n|x\n")
    write(place + b"/example.com/.qmail-other", b"&a@b.example\n")
    assert ask(ADM, b"list_lists example.com", b"add_list example.com l", b"del_list", b"mod_list x") == [
        [b".qmail-list"], b"-ERR 36.4001 Not Implemented yet", b"-ERR 36.4101 Not Implemented yet", b"-ERR 36.4201 Not Implemented yet"]


def test_domains(place):
    for name, line in (("rcpthosts", b"other.example\n"), ("virtualdomains", b"other.example:other.example\n")):
        write(os.fsencode(qmailhome.path("control", name)), line)
    assert ask(SYS, b"add_domain", b"add_domain x.example", b"add_domain other.example pw", b"add_alias_domain other.example",
               b"add_alias_domain none.example n.example", b"del_domain", b"del_domain none.example", b"dom_info none.example") == [
        b"-ERR 13.802 Domain Required", b"-ERR 7.803 Password Required", b"-ERR 0.804 Domain already exists",
        b"-ERR 14.1203 Alias Name Required", b"-ERR 0.1204 Domain does not exist", b"-ERR 13.1302 Domain Required",
        b"-ERR 0.1303 Domain does not exist", b"-ERR 0.1404 Domain does not exist"]
    [found] = ask(SYS, b"dom_info other.example")
    assert found[:2] == [b"domain other.example", b"path %b/other.example" % place]


def test_a_nul_ends_a_line(place):
    assert ask(JOE, b"stat_file joe@example.com/none\0x", b"help\0x")[0] == b"-ERR 0.2202 No such file or directory"
    ask(JOE, b"write_file joe@example.com/f\0g", b"one\0two", b".\0")
    assert read(place + b"/example.com/joe/f") == b"one\n"


def test_nonsense_is_told_and_nothing_is_not(place):
    assert ask(ADM, b"nonsense", b"", b"user_info j:e@x", b"user_info", b"mod_user none@example.com", b"comment x", b".", b"help") [:4] == [
        b"-ERR 4.107 Invalid Command", b"-ERR 10.603 Invalid Email Address", b"-ERR 6.602 Email Address Required",
        b"-ERR 12.505 User does not exist"]


# ---------------------------------------------------------------- run by root: two processes before the login

def converse(*lines):
    """(exit code, answers as bytes) of vpopmaild's two processes."""
    ours, theirs = socket.socketpair()
    ours.sendall(b"".join(line + b"\r\n" for line in lines))
    ours.shutdown(socket.SHUT_WR)

    def work():
        ours.close()
        return b"%d" % daemon_front.serve(theirs.fileno(), theirs.fileno(), b"192.0.2.1")
    status, code = child.result_of(work, 10)
    theirs.close()
    data = b""
    with contextlib.suppress(ConnectionResetError):     # something of what we wrote was not read
        while piece := ours.recv(65536):
            data += piece
    ours.close()
    assert status == 0
    return int(code), data.split(b"\r\n")[:-1]


@pytest.mark.root
@pytest.mark.parametrize("lines", [
    [b"quit"], [], [b"foo"] * 5, [b"slogin joe@example.com bad"] * 4, [b"slogin joe@example.com bad"] * 3, [b"x" * 9000],
    [b"slogin joe@example.com pw"], [b"foo", b"help", b"slogin", b"slogin j:e@x pw", b"slogin joe@example.com pw", b"quit"],
    [b"help", b"clogin joe@example.com no", b"clogin joe@example.com pw", b"help", b"user_info joe@example.com", b"quit"],
    [b"login joe@example.com pw", b"mod_user joe@example.com", b"comment Joe"],
    [b"login a@b.example \xff\x00c", b"login", b"quit"]])
def test_the_two_processes_say_what_one_says(place, monkeypatch, lines):
    monkeypatch.setattr(accounts_of_roles, "private", lambda: None)
    two = converse(*lines)
    monkeypatch.setattr(daemon_front.os, "geteuid", lambda: 1)
    assert converse(*lines) == two and two[1][0] == OK


@pytest.mark.root
def test_strangers_talk_to_nobody_in_particular(place, monkeypatch):
    monkeypatch.setattr(accounts_of_roles, "private", lambda: None)

    def line(self):
        try:
            found = str(os.listdir("/"))
        except OSError as why:
            found = os.strerror(why.errno)
        self.send(f"{os.getresuid()} {os.getgroups()} {sandbox.missing() or found}".encode())
        raise daemon.Lost(daemon.Reply(3, 103))
    monkeypatch.setattr(daemon_front.Front, "line", line, raising=False)
    uid, gid = accounts_of_roles.ids("qmaild")
    expected = f"{(uid, uid, uid)} {[gid]} {sandbox.missing() or 'Permission denied'}"
    assert converse() == (255, [OK, expected.encode(), b"-ERR 3.103 Read Timeout"])


@pytest.mark.root
@pytest.mark.parametrize("said", [[b"+"], [b"+user_info joe@example.com\n"], [b"?quit x"], [b"?"], [b"x"],
                                  [b"?login joe@example.com pw"], [b"?login joe@example.com pw"] * 2,
                                  [b"?slogin joe@example.com bad"] * 20])
def test_a_front_that_was_taken_over_gets_no_session(place, monkeypatch, said):
    """Nor more tries than others have."""
    monkeypatch.setattr(accounts_of_roles, "private", lambda: None)
    try_login = daemon.Session.try_login

    def run(self):
        with contextlib.suppress(OSError):
            for packet in said:
                self._root.send(packet)
                if packet.startswith(b"?"):
                    self._root.recv(100)
        return 0

    def tried(self, *words):
        self.send(b"tried")
        return try_login(self, *words)
    monkeypatch.setattr(daemon_front.Front, "run", run)
    monkeypatch.setattr(daemon_front.Root, "try_login", tried)
    monkeypatch.setattr(daemon.Session, "command", lambda self, line: self.send(b"reached"))
    _, answers = converse(b"user_info joe@example.com")
    assert b"reached" not in answers and answers.count(b"tried") <= daemon.LINES + 1
