"""doc/: every command, file, page and module that the documents name is there."""
import glob
import os
import re
import subprocess

import pytest

from pyqmail.base import controls
from pyqmail.install import hier
from pyqmail.programs import qmailctl

from .test_pages import PAGES, PROGRAMS, ROOT

DOCUMENTS = sorted(os.path.basename(path) for path in glob.glob(f"{ROOT}/doc/*.md"))
TOOLS = {"apt-get", "cat", "cd", "chmod", "cp", "dovecot", "echo", "git", "grep", "mkdir", "mv", "printf", "rm", "systemctl",
         "touch", "vi", *hier.COURIER}
ELSEWHERE = {"tcpserver(1)"}


def text(name):
    with open(f"{ROOT}/doc/{name}", encoding="utf-8") as f:
        return f.read()


def commands(name):
    """Each command of the lines that begin with a prompt."""
    for line in re.findall(r"^ +[#$] (.*)$", text(name), re.M):
        yield from (part.strip() for part in re.split(r"&&|\|(?=[^'\"]*$)", re.sub(r"'[^']*'", "''", line)))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_commands_are_there(name):
    for command in commands(name):
        word, *arguments = command.split()
        program = word.rpartition("/")[2]
        assert program in PROGRAMS if "bin/" in word else program in TOOLS, command
        if program == "qmailctl":
            assert arguments[0] in qmailctl.VERBS, command


@pytest.mark.parametrize("name", DOCUMENTS)
def test_verbs_in_sentences_are_there(name):
    for verb in re.findall(r"`(?:\S*/)?qmailctl ([a-z]+)`", text(name)):
        assert verb in qmailctl.VERBS


@pytest.mark.parametrize("name", DOCUMENTS)
def test_pages_are_there(name):
    for page, number in re.findall(r"`?\b([a-z][\w-]*)\((\d)\)", text(name)):
        assert f"{page}.{number}" in PAGES or f"{page}({number})" in ELSEWHERE, page


@pytest.mark.parametrize("name", DOCUMENTS)
def test_control_files_are_in_the_table(name):
    for control in re.findall(r"\bcontrol/([a-z0-9.]*[a-z0-9])", text(name)):
        assert control in controls.BY_NAME, control


@pytest.mark.parametrize("name", DOCUMENTS)
def test_modules_and_documents_are_there(name):
    packages = {entry for entry in os.listdir(f"{ROOT}/pyqmail") if os.path.isdir(f"{ROOT}/pyqmail/{entry}")}
    for path in re.findall(r"`([a-z_]+/[a-z_/]+\.(?:py|md))\b", text(name)):
        top = path.partition("/")[0]
        assert os.path.exists(f"{ROOT}/pyqmail/{path}" if top in packages else f"{ROOT}/{path}"), path


@pytest.mark.parametrize("name", DOCUMENTS)
def test_queue_files_are_in_the_tree(name):
    tree = {path.removesuffix("/SPLIT") for path, *_ in hier.TREE}
    for path in re.findall(r"\bqueue/([a-z]+)/\d", text(name)):
        assert f"queue/{path}" in tree, path


def test_all_control_files_of_the_answers_have_their_place():
    assert {"locals", "rcpthosts", "virtualdomains", "smtproutes", "tcp.smtp", "badmailfrom"} <= set(
        re.findall(r"control/([a-z.]*[a-z])", text("FAQ.md")))


def test_retries_are_those_of_the_scheduler():
    from pyqmail.send import scheduler
    for channel, shown in (("remote", "400, 1600, 3600, 6400"), ("local", "100,\n400, 900, 1600")):
        age = 0
        for expected in map(int, re.findall(r"\d+", shown)):
            age = scheduler.next_attempt(0, age, channel)
            assert age == expected
        assert shown in text("FAQ.md")


def test_the_example_of_a_split_number():
    from pyqmail.queue import names
    assert names.split("mess", 1001) in text("FAQ.md")


def test_the_answer_about_shell_syntax():
    """What the FAQ has people write into control/tcp.smtp compiles."""
    rules = [rule.replace('\\"', '"') for rule in re.findall(r"['`](\S*?:(?:allow|deny)[^'`\n]*)['`]", text("FAQ.md"))]
    assert len(rules) >= 4
    from pyqmail.base import tcprules
    assert len(list(tcprules.compile_rules("\n".join(rules).encode()))) == len(rules)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_blocks_of_shell_can_be_parsed(name):
    for line in re.findall(r"^ +[#$] (.*)$", text(name), re.M):
        assert subprocess.run(["sh", "-n", "-c", line], capture_output=True).returncode == 0, line
