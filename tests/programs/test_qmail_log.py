"""qmail-log, run as a process."""
import os
import re
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"


def log(directory, text, *arguments):
    return subprocess.run([f"{ROOT}/bin/qmail-log", directory, *arguments], input=text, capture_output=True)


def current(directory):
    return (directory / "current").read_bytes()


def test_lines_get_the_time(tmp_path):
    place = tmp_path / "log"
    done = log(place, b"new msg 1\nend msg 1\nlast")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert re.fullmatch(rf"{TIME} new msg 1\n{TIME} end msg 1\n{TIME} last\n", current(place).decode())
    assert os.stat(place / "current").st_mode & 0o007 == 0


def test_it_appends(tmp_path):
    log(tmp_path, b"one\n")
    log(tmp_path, b"two\n")
    assert re.fullmatch(rf"{TIME} one\n{TIME} two\n", current(tmp_path).decode())


def test_control_characters_do_not_get_into_the_file(tmp_path):
    log(tmp_path, b"a\x1b[2Jb\rc\td\0\x7f\xc3\xa4\n")
    assert current(tmp_path).split(b" ", 1)[1] == b"a?[2Jb?c\td??\xc3\xa4\n"


def test_long_lines_come_in_pieces(tmp_path):
    log(tmp_path, b"x" * 20000 + b"\nshort\n")
    assert [len(line.split(b" ", 1)[1]) for line in current(tmp_path).splitlines()] == [8192, 8192, 3616, 5]


def test_files_are_bounded_in_size_and_number(tmp_path):
    log(tmp_path, b"".join(b"line %d\n" % n for n in range(200)), "1000", "3")
    old = sorted(name for name in os.listdir(tmp_path) if name.startswith("@"))
    assert len(old) == 3 and set(os.listdir(tmp_path)) == {"current", *old}
    assert all(1000 <= os.stat(tmp_path / name).st_size < 1100 for name in old)
    kept = b"".join((tmp_path / name).read_bytes() for name in (*old, "current"))
    numbers = [int(line.split()[-1]) for line in kept.splitlines()]
    assert numbers == list(range(numbers[0], 200))


def test_usage(tmp_path):
    for arguments in ([], [str(tmp_path), "many"], [str(tmp_path), "1", "2", "3"]):
        done = subprocess.run([f"{ROOT}/bin/qmail-log", *arguments], stdin=subprocess.DEVNULL, capture_output=True)
        assert done.returncode == 100 and b"usage" in done.stderr
    assert log(tmp_path / "no" / "where", b"x\n").returncode == 111


def test_one_process_keeps_several_logs(tmp_path):
    """Each line in the log of its descriptor, to the last one without a newline; it ends when all have ended."""
    pipes = [os.pipe() for _ in range(3)]
    words = [word for (reader, _), name in zip(pipes, "abc") for word in (str(reader), str(tmp_path / name))]
    logger = subprocess.Popen([f"{ROOT}/bin/qmail-log", "--several", *words], pass_fds=[reader for reader, _ in pipes],
                              stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    for reader, _ in pipes:
        os.close(reader)
    for number, (_, writer) in enumerate(pipes):
        os.write(writer, b"one of %d\nhalf" % number)
    os.close(pipes[1][1])
    for number in (0, 2):
        os.write(pipes[number][1], b" and half\n")
        os.close(pipes[number][1])
    assert logger.communicate(timeout=60) == (None, b"") and logger.returncode == 0
    ends = {"a": "half and half", "b": "half", "c": "half and half"}
    for number, name in enumerate("abc"):
        assert re.fullmatch(rf"{TIME} one of {number}\n{TIME} {ends[name]}\n", current(tmp_path / name).decode())


def test_usage_of_several(tmp_path):
    for words in ([], ["0"], ["0", "a", "1"], ["x", "a"], ["0x", "a"], ["0", "a", "0", "b"], ["0", ""]):
        done = subprocess.run([f"{ROOT}/bin/qmail-log", "--several", *words], stdin=subprocess.DEVNULL,
                              capture_output=True, cwd=tmp_path)
        assert done.returncode == 100 and b"usage" in done.stderr and os.listdir(tmp_path) == []
