"""tcprules as a program: exit codes, and that the old rules stay until the new ones are complete."""
import os
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.fixture
def tcprules(tmp_path, libraries):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "tcprules").write_bytes(open(f"{ROOT}/bin/tcprules", "rb").read())
    (tmp_path / "bin" / "tcprules").chmod(0o755)
    (tmp_path / "pyqmail").symlink_to(f"{ROOT}/pyqmail")
    (tmp_path / "venv").symlink_to(libraries)

    def run(rules, *arguments):
        return subprocess.run([tmp_path / "bin" / "tcprules", *arguments], input=rules, capture_output=True, cwd=tmp_path)
    return run


def test_rules_are_put_in_place(tcprules, tmp_path):
    assert tcprules(b"10.1.:deny\n:allow\n", "cdb", "tmp").returncode == 0
    assert b"10.1.D\0" in (tmp_path / "cdb").read_bytes() and not (tmp_path / "tmp").exists()
    assert (tmp_path / "cdb").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("rules, arguments, code, said", [
    (b":allow\n:alow\n", ["cdb", "tmp"], 100, b"tcprules: fatal: unable to parse this line: :alow\n"),
    (b":allow\n", ["cdb", "no/tmp"], 111, b"tcprules: fatal: unable to create no/tmp: file does not exist\n"),
    (b":allow\n", ["no/cdb", "tmp"], 111, b"tcprules: fatal: unable to move tmp to no/cdb: file does not exist\n"),
    (b":allow\n", ["cdb"], 100, b"tcprules: usage: tcprules rules.cdb rules.tmp\n"),
])
def test_old_rules_stay(tcprules, tmp_path, rules, arguments, code, said):
    (tmp_path / "cdb").write_bytes(b"old")
    done = tcprules(rules, *arguments)
    assert (done.returncode, done.stderr) == (code, said)
    assert (tmp_path / "cdb").read_bytes() == b"old"
