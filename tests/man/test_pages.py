"""The manual says what the code does: tables are generated, names and numbers are looked up."""
import ast
import glob
import importlib.machinery
import importlib.util
import os
import re
import shutil
import subprocess
import sys

import pytest

from pyqmail.base import controls
from pyqmail.install import hier

from . import reach

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def load_generator():
    loader = importlib.machinery.SourceFileLoader("generate", f"{ROOT}/man/generate")
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("generate", loader))
    loader.exec_module(module)
    return module


generate = load_generator()
PAGES = {os.path.basename(path): path for path in generate.pages()}
PROGRAMS = sorted(name for name in os.listdir(f"{ROOT}/bin") if not name.startswith("."))
ELSEWHERE = {"tcpserver.1", "biff.1", "flock.2", "resolv.conf.5"}        # pages of other packages that ours refer to
DRIVERS = {"except": "except_", "qmail-inject": "../inject/injection"}


def text(page):
    with open(PAGES[page], encoding="utf-8") as f:
        return f.read()


def source(program):
    with open(f"{ROOT}/pyqmail/programs/{DRIVERS.get(program, program.replace('-', '_'))}.py", encoding="utf-8") as f:
        return f.read()


def page_of(program):
    found = [page for page in PAGES if re.fullmatch(re.escape(program) + r"\.[18]", page)]
    assert len(found) == 1, f"{program} has {found or 'no page'}"
    return found[0]


def section(page, heading):
    return text(page).partition(f".Sh {heading}\n")[2].partition("\n.Sh ")[0]


def by_hand(page):
    """The lines of a page that are sentences by hand: no tables, no examples, no requests with numbers of their own."""
    lines, table, display = [], False, False
    for line in text(page).split("\n"):
        if line.startswith('.\\" table'):
            table = True
        elif line == '.\\" end':
            table = False
        elif line.startswith(".Bd"):
            display = True
        elif line == ".Ed":
            display = False
        elif not (table or display or line.startswith(('.\\"', ".Dd", ".Dt", ".Xr", ".Dl", ".Bl", ".Ev"))):
            lines.append(line)
    return lines


# ---------------------------------------------------------------- which pages there are

@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_has_a_page(program):
    page_of(program)


def test_every_page_of_a_program_has_its_program():
    without = {page for page in PAGES if page.endswith((".1", ".8")) and page[:-2] not in PROGRAMS}
    assert without == {"qmail-command.8", "imapd.rc.8", "mkimapdcert.8"}       # scripts of Courier's tree


@pytest.mark.parametrize("page", PAGES)
def test_the_tables_are_those_of_the_code(page):
    assert generate.generated(text(page)) == text(page), "run man/generate"


@pytest.mark.parametrize("page", PAGES)
def test_the_head(page):
    name, _, number = page.rpartition(".")
    assert PAGES[page].endswith(f"/man{number}/{page}")
    heading, plain = re.escape(name.upper()), re.escape(name)
    assert re.match(rf"\.Dd \w+ \d+, \d+\n\.Dt {heading} {number}\n\.Os\n\.Sh NAME\n\.Nm {plain}\n\.Nd \S", text(page))


@pytest.mark.parametrize("page", PAGES)
def test_markup(page):
    if not shutil.which("mandoc"):
        pytest.skip("mandoc is not installed")
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "style", PAGES[page]], capture_output=True, text=True)
    found = [line for line in (done.stdout + done.stderr).split("\n")
             if line and "referenced manual not found" not in line and "outdated mandoc.db" not in line]
    assert found == []              # which pages are referred to is looked up below


# ---------------------------------------------------------------- what they say

@pytest.mark.parametrize("page", PAGES)
def test_every_fact_is_so_in_the_code(page):
    for value, expression in generate.facts(text(page)):
        assert str(generate.evaluate(expression)) == value, expression


@pytest.mark.parametrize("page", PAGES)
def test_every_number_is_a_fact(page):
    """A number of two digits or more in a sentence is either in a table or tied to the code by a fact."""
    known = {number for value, _ in generate.facts(text(page)) for number in re.findall(r"\d+", value)}
    for line in by_hand(page):
        if re.match(r"\.It \d+$", line):    # an exit code: tests/man/test_exit_codes.py runs the programs
            continue
        line = re.sub(r"RFC \d+|SYSTEM V|8BITMIME|smtpd?\b|POP3|IPv[46]", "", line)
        for number in re.findall(r"(?<![\w.:#])\d{2,}", line):
            assert number in known, f"{number} in: {line}"


@pytest.mark.parametrize("page", PAGES)
def test_references_lead_somewhere(page):
    for name, number in re.findall(r"^\.Xr (\S+) (\d)", text(page), re.M):
        assert f"{name}.{number}" in PAGES or f"{name}.{number}" in ELSEWHERE, f"{name}({number})"


@pytest.mark.parametrize("page", PAGES)
def test_see_also_names_pages_once_and_in_order(page):
    assert ".Sh SEE ALSO\n" in text(page)
    names = re.findall(r"^\.Xr (\S+) (\d)", section(page, "SEE ALSO"), re.M)
    assert names == sorted(set(names), key=lambda name: (name[1], name[0]))
    assert page.rsplit(".", 1) not in [list(name) for name in names]


@pytest.mark.parametrize("page", PAGES)
def test_doc_files_exist(page):
    for name in re.findall(r"\bdoc/\w+\.md", text(page)):
        assert os.path.exists(f"{ROOT}/{name}"), name


# ---------------------------------------------------------------- files

TREE = {path.removesuffix("/SPLIT") for path, *_ in hier.TREE}
MADE = {"rc", "venv", "run/send.pid", "run/qmail-queue/socket", "run/qmail-queue/lock", "run/qmail-send/hands",
        "run/qmail-send/suspects", "queue/aside", "users/assign", "users/cdb",
        "users/cdb.tmp", "users/include", "users/exclude", "users/mailnames", "users/subusers", "users/append",
        "users/poppasswd", "log/send", "log/smtpd", "log/pop3d", "alias/.qmail-postmaster"}
SOURCE = {"tests/conformance/DIFFERENCES.md"}


def paths(page):
    for line in re.findall(r"^(?:\.It )?\.?Pa (.*)$", text(page).replace(".It Pa", ".Pa"), re.M):
        words = (word for word in line.split() if len(word) > 1 and word not in ("Ns", "Ar", "Em"))
        yield from (word.removeprefix("QMAILHOME/") for word in words)


@pytest.mark.parametrize("page", PAGES)
def test_files_of_an_installation_are_known(page):
    for path in paths(page):
        top = path.partition("/")[0]
        if top == "control" and "/" in path:
            assert path.removeprefix("control/") in controls.BY_NAME, path
        elif top == "bin" and "/" in path:
            assert path.removeprefix("bin/") in PROGRAMS, path
        elif top == "boot" and "/" in path:
            assert path.removeprefix("boot/") in hier.BOOT, path
        elif top in ("queue", "run", "users", "log", "alias"):
            assert path in TREE | MADE, path
        elif top in ("doc", "tests") and "/" in path:
            assert os.path.exists(f"{ROOT}/{path}"), path


@pytest.mark.parametrize("path", sorted(MADE - {"alias/.qmail-postmaster"}))
def test_files_that_programs_make_or_read_are_named_in_the_code(path):
    parts = [part for part in re.split(r"[/.]", path) if part not in ("run", "users", "log")]
    assert all(any(part in re.split(r"[/.]", literal) for literal in LITERALS) for part in parts)


def test_every_control_file_that_is_read_is_in_the_table():
    for name in glob.glob(f"{ROOT}/pyqmail/**/*.py", recursive=True):
        with open(name, encoding="utf-8") as f:
            for node in ast.walk(ast.parse(f.read())):
                if (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
                        and isinstance(node.func.value, ast.Name) and node.func.value.id == "control"
                        and node.func.attr in ("line", "number", "lines", "raw", "exists")
                        and node.args and isinstance(node.args[0], ast.Constant)):
                    assert node.args[0].value in controls.BY_NAME, f"{name}: {node.args[0].value}"


LITERALS = set().union(*map(reach.strings, reach.everything()))


def spellings(name):
    """How a program may write the name of a control file."""
    yield from (name, f"control/{name}")
    for word, part in (("local", "{channel}"), ("remote", "{channel}"), ("qmtp", "{protocol.service}"),
                       ("qmqp", "{protocol.service}")):
        if word in name:
            yield from (f"f'{name.replace(word, part)}'", f"f'control/{name.replace(word, part)}'")


READERS = {program: reach.strings_of(program) for program in PROGRAMS}
INSTEAD = {"qmail-rspawn": "qmail-remote"}              # does that program's work
# These read other programs' files in their place, make them, or explain them.
OTHERS = {"sendmail", "datemail", "mailsubj", "qmailctl", "qmail-config", "qmail-showctl", "qmail-start",
          "qmail-newmrh"}
# Those for virtual domains change qmail's files.
OTHERS |= {program for program in PROGRAMS if program.startswith("v")} | {"clearopensmtp", "authdaemond", "authvchkpw"}
# Those that forward mail of virtual users as qmail-inject does it, or could.
INJECTING = {"qmail-local", "qmail-lspawn", "qmail-rcptcheck"}
# Modules that nearly all import; VPOPHOME/etc has a defaultdomain and a tcp.smtp, too.
EVERYWHERE = {"me", "moreipme", "defaultdomain", "tcp.smtp"}


@pytest.mark.parametrize("entry", controls.CONTROLS, ids=lambda entry: entry.name)
def test_control_files_are_read_by_the_programs_of_the_table(entry):
    said = {name.partition(" ")[0] for name in entry.programs.split(", ")}
    found = {program for program, strings in READERS.items() if not strings.isdisjoint(spellings(entry.name))}
    if "tcprules" in said:
        said = {"qmailctl"}         # has tcprules read it
    if said != {"all"}:
        assert said <= found
    if entry.name not in EVERYWHERE and "{" not in "".join(spellings(entry.name)):
        others = OTHERS | INJECTING if said == {"qmail-inject"} else OTHERS
        assert {INSTEAD.get(program, program) for program in found - others} <= said


@pytest.mark.parametrize("entry", [entry for entry in controls.CONTROLS if entry.default not in (None, controls.ME)],
                         ids=lambda entry: entry.name)
def test_defaults_are_those_of_the_programs(entry):
    """Default values stand in the programs as constants; the table repeats them for people."""
    known = {
        "bouncefrom": "MAILER-DAEMON", "concurrencyincoming": "smtp.server.TOTAL",
        "concurrencylocal": 'send.controls.CONCURRENCY["local"]', "concurrencyperip": "smtp.server.TOTAL//2",
        "concurrencypop3": "programs.qmail_popup.SESSIONS", "concurrencyqmqp": "qmtp.server.TOTAL",
        "concurrencyqmtp": "qmtp.server.TOTAL", "concurrencyremote": 'send.controls.CONCURRENCY["remote"]',
        "maxrecipients": "smtp.policy.RECIPIENTS", "maxunknown": "smtp.policy.UNKNOWN",
        "pop3checker": "programs.qmail_popup.CHECKER.decode()",
        "queuelifetime": "send.controls.LIFETIME", "timeoutconnect": "smtp.remote.CONNECT_TIMEOUT",
        "timeoutremote": "smtp.remote.REMOTE_TIMEOUT", "timeoutsmtpd": "smtp.policy.TIMEOUT"}
    if entry.name in known and "." in known[entry.name]:
        assert generate.evaluate(known[entry.name]) == entry.default
    elif isinstance(entry.default, str) and entry.name != "me":
        assert entry.default in LITERALS


@pytest.mark.parametrize("name,expression", [
    ("smtplisten", "smtp.server.ADDRESSES"), ("pop3listen", "programs.qmail_popup.ADDRESSES"),
    ("qmqplisten", "qmtp.qmqp.PORT"), ("qmtplisten", None)])
def test_ports_without_a_list_are_those_of_the_servers(name, expression):
    port = re.match(r"port (\d+) of all addresses", controls.BY_NAME[name].without)[1]
    if expression is None:
        assert f"0.0.0.0:{port}" in source("qmail-qmtpd")
        return
    served = generate.evaluate(expression)
    assert {str(address).rpartition(":")[2] for address in ([served] if isinstance(served, int) else served)} == {port}


# ---------------------------------------------------------------- options

#  program       long options beyond those of base.options
LISTENERS = ("qmail-smtpd", "qmail-popup", "qmail-qmtpd", "qmail-qmqpd")
LONG = {**dict.fromkeys(LISTENERS, {"-listen"}), "qmail-send": {"-wide-remote"}, "qmail-rspawn": {"-wide"},
        "qmail-queue": {"-service", "-follow", "-held"}, "qmail-rcptcheck": {"-service"},
        "qmail-log": {"-several"}, "splogger": {"-several"},
        "qmailctl": {"-home", "-smtp", "-pop3", "-venv", "-start", "-imap", "-imaps", "-prefix", "-courier", "-sql",
                     "-sender", "-recipient", "-older", "-message", "-held", "-all", "-yes", "-wait", "-repair"}}
SHORT = dict.fromkeys(LISTENERS, "v")
PASSES_ON = {"qmail-start"}         # options of programs that it starts


def letters(program):
    """The one-letter options that the program's source gives to base.options."""
    found = re.search(r"Options\(argv, b\"([^\"]*)\"\)", source(program))
    return set((found[1] if found else SHORT.get(program, "")).replace(":", ""))


@pytest.mark.parametrize("program", PROGRAMS)
def test_options_are_those_of_the_program(program):
    described = set(re.findall(r"^\.It Fl (\S+)", text(page_of(program)), re.M))
    assert described == letters(program) | LONG.get(program, set())


@pytest.mark.parametrize("program", PROGRAMS)
def test_no_long_option_is_left_out(program):
    if program not in PASSES_ON:
        body = source(program).partition('"""')[2].partition('"""')[2]
        code = set(re.findall(r"\"-(-[a-z][a-z-]*)\"", body))
        assert code <= LONG.get(program, set())
        assert all(f"-{option}" in source(program) for option in LONG.get(program, ()))


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_synopsis_has_every_option(program):
    synopsis = section(page_of(program), "SYNOPSIS")
    if program == "sendmail":       # names those that do something
        return
    shown = set()
    for words in re.findall(r"Fl (\S+)", synopsis):
        shown |= {words} if words.startswith("-") else set(words)
    assert shown - {"-"} == letters(program) | LONG.get(program, set())


# ---------------------------------------------------------------- environment

VARIABLE = re.compile(r"[A-Z][A-Z0-9_]+")
SYSTEM = {"TZ"}                     # the C library reads it
MAILBOX = {"MAILDIR", "MAIL", "MAILTMP"}
# Read by a program that this one starts, or that starts this one.
BESIDE = {"qmail-start": {"QMAILREMOTE"}, "qmail-queue": {"QMAILQUEUE"},
          **dict.fromkeys(("elq", "pinq", "qail"), MAILBOX)}


def variables(page):
    for line in re.findall(r"^\.(?:It )?Ev (.*)$", text(page), re.M):
        yield from VARIABLE.findall(line)


@pytest.mark.parametrize("page", PAGES)
def test_variables_are_in_the_code(page):
    for variable in variables(page):
        spelled = {variable, re.sub("LOCAL|REMOTE", "%s", variable), variable.rstrip("234")}     # %s: tcp-env's way
        known = spelled & LITERALS or variable in SYSTEM
        assert known, variable


@pytest.mark.parametrize("program", PROGRAMS)
def test_variables_of_a_program_are_in_its_modules(program):
    page = page_of(program)
    for line in re.findall(r"^\.It Ev (.*)$", section(page, "ENVIRONMENT"), re.M):
        for variable in VARIABLE.findall(line):
            spelled = {variable, re.sub("LOCAL|REMOTE", "%s", variable)}
            assert spelled & READERS[program] or variable in SYSTEM | BESIDE.get(program, set()), variable


def read_variables():
    """The variables that pyqmail reads or sets, as far as its source names them as such."""
    pattern = re.compile(r"(?:environb?(?:\.get\(|\.pop\(|\[)|get\(|environ, )b?\"([A-Z][A-Z0-9_]{2,})\"")
    for name in glob.glob(f"{ROOT}/pyqmail/**/*.py", recursive=True):
        with open(name, encoding="utf-8") as f:
            yield from pattern.findall(f.read())


def test_every_variable_that_is_read_is_in_the_manual():
    described = {variable for page in PAGES for variable in variables(page)}
    internal = {"LC_CTYPE", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "SUDO_USER"}
    assert set(read_variables()) - described - internal == set()


# ---------------------------------------------------------------- one table, three voices

def test_showctl_and_the_manual_have_the_same_control_files(tmp_path):
    page = text("qmail-control.5")
    for entry in controls.CONTROLS:
        assert f".It Pa {entry.name}\n" in page
        assert entry.meaning.split()[-1].rstrip(".") in page


def test_qmailctl_help_and_the_manual_have_the_same_verbs():
    from pyqmail.programs import qmailctl
    assert set(re.findall(r"^\.It Cm (\S+)", text("qmailctl.8"), re.M)) == set(qmailctl.VERBS)
    done = subprocess.run([sys.executable, "-IXutf8", f"{ROOT}/bin/qmailctl", "help"], capture_output=True, text=True)
    for verb in qmailctl.VERBS:
        assert re.search(rf"^{verb}\b", done.stdout, re.M), verb


def test_qmailctl_help_tells_every_control_file():
    done = subprocess.run([sys.executable, "-IXutf8", f"{ROOT}/bin/qmailctl", "help"], capture_output=True, text=True)
    lines = {line.partition(" ")[0]: line for line in done.stdout.split("\n")}
    for entry in controls.CONTROLS:
        assert lines[entry.name].endswith(entry.meaning)
