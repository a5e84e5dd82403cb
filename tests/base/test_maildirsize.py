"""Maildir++ quotas and the file maildirsize."""
import os
import time

import pytest
from hypothesis import given, strategies

from pyqmail.base import maildir, maildirsize


@pytest.fixture
def box(tmp_path):
    path = os.fsencode(tmp_path / "Maildir")
    maildir.make(path)
    return path


def put(box, name, size=1):
    os.makedirs(os.path.dirname(os.path.join(box, name)), exist_ok=True)
    with open(os.path.join(box, name), "wb") as f:
        f.write(b"x" * size)


def note(box, text, age=0):
    path = os.path.join(box, b"maildirsize")
    with open(path, "wb") as f:
        f.write(text)
    os.utime(path, (time.time() - age,) * 2)


def contents(box):
    with open(os.path.join(box, b"maildirsize"), "rb") as f:
        return f.read()


@pytest.mark.parametrize("text, size, count", [
    (b"1000S", 1000, 0), (b"2C", 0, 2), (b"1000S,2C", 1000, 2), (b"2C,1000S", 1000, 2), (b"1000", 1000, 0),
    (b"", 0, 0), (b"NOQUOTA", 0, 0), (b"-5S", 0, 0), (b"S", 0, 0), (b"9" * 19 + b"S", 0, 0), (b"10s,3c\n", 10, 3)])
def test_a_quota_is_read(text, size, count):
    quota = maildirsize.parse(text)
    assert (quota.bytes, quota.count) == (size, count) and bool(quota) == bool(size or count)


@given(strategies.binary(max_size=60))
def test_any_quota_text_is_read(text):
    quota = maildirsize.parse(text)
    assert quota.bytes >= 0 and quota.count >= 0


@pytest.mark.parametrize("limit, used, size, fits", [
    ((100, 0), (60, 9), 40, True), ((100, 0), (60, 9), 41, False), ((0, 3), (10**9, 2), 1, True),
    ((0, 3), (0, 3), 1, False), ((0, 0), (5, 5), 5, True), ((100, 3), (0, 3), 1, False)])
def test_what_fits(limit, used, size, fits):
    assert maildirsize.Quota(*limit).admits(maildirsize.Usage(*used), size, 1) is fits


@pytest.mark.parametrize("limit, used, percent", [
    ((100, 0), (95, 0), 95), ((100, 10), (10, 9), 90), ((0, 0), (10, 10), 0), ((100, 0), (-5, 0), 0)])
def test_percent(limit, used, percent):
    assert maildirsize.Quota(*limit).percent(maildirsize.Usage(*used)) == percent


def test_counted_are_new_and_cur_of_every_folder_but_not_what_does_not_count(box):
    for name in (b"new/1.h,S=100", b"cur/2.h,S=20:2,S", b".Sent/cur/3.h,S=3:2,", b"new/4.h"):
        put(box, name)
    for name in (b"cur/5.h,S=1000:2,ST", b".Trash/cur/6.h,S=1000", b"new/.7,S=1000", b"tmp/8,S=1000", b"Sent/new/9,S=1000"):
        put(box, name)
    counted = maildirsize.count(box)
    assert (counted.bytes, counted.count) == (124, 4)


def test_without_a_file_the_messages_are_counted_and_the_result_is_kept(box):
    put(box, b"cur/1.h,S=70:2,")
    assert maildirsize.usage(box, b"1000S").bytes == 70
    assert contents(box) == b"1000S\n70 1\n" and os.listdir(os.path.join(box, b"tmp")) == []


@pytest.mark.parametrize("text, age, believed", [
    (b"1000S\n10 1\n20 1\n", 0, True), (b"1000S\n10 1\n20 1", 0, True), (b"1000S\n10 1\n20 1\n", 1000, False),
    (b"1000S\n30 2 4\n", 0, False), (b"1000S\nten 1\n", 0, False), (b"1000S\n", 0, False), (b"", 0, False),
    (b"1000S\n" + b"0 0\n" * 1300 + b"30 2\n", 0, False)])
def test_when_the_file_is_believed(box, text, age, believed):
    note(box, text, age)
    used = maildirsize.usage(box, b"1000S")
    assert (used.bytes, used.count) == ((30, 2) if believed else (0, 0))


@pytest.mark.parametrize("text, used", [(b"100S\n99 1\n5 1\n", 0), (b"100S\n104 2\n", 104)])
def test_before_mail_is_refused_a_sum_is_checked_but_a_fresh_count_is_not(box, text, used):
    note(box, text)
    quota = maildirsize.parse(b"100S")
    assert maildirsize.usage(box, b"100S", lambda found: quota.admits(found, 10, 1)).bytes == used


def test_what_came_and_went_is_appended(box):
    note(box, b"1000S\n10 1\n")
    maildirsize.add(box, b"1000S", 200)
    maildirsize.add(box, b"1000S", -10, -1)
    assert contents(box) == b"1000S\n10 1\n200 1\n-10 -1\n"
    assert maildirsize.first_line(box) == b"1000S"


def test_adding_without_a_file_counts(box):
    put(box, b"new/1.h,S=70")
    maildirsize.add(box, b"9C", 70)
    assert contents(box) == b"9C\n70 1\n"


def test_a_file_that_is_not_there_has_no_first_line(box):
    assert maildirsize.first_line(box) == b""
