"""README.md names a test for every row, and the tests are there."""
import os
import re

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def rows():
    with open(f"{TESTS}/attacks/README.md", encoding="utf-8") as f:
        for line in f:
            cells = [cell.strip() for cell in line.split(" | ")]
            if re.match(r"\| ([BCLR]?\d+) ", line):
                yield cells[0].strip("| "), cells


def test_every_row_has_its_tests():
    numbers = set()
    for number, cells in rows():
        named = re.findall(r"`([\w/]+\.py)::(\w+)`", cells[-1])
        numbers.add(number)
        assert named or "belongs to the part" in cells[2], number
        for path, name in named:
            with open(f"{TESTS}/{path}", encoding="utf-8") as f:
                assert f"def {name}(" in f.read(), f"row {number}: {path}::{name}"
    assert {str(number) for number in range(1, 31)} <= numbers
    assert all(f"{letter}{number}" in numbers for letter, last in (("B", 9), ("C", 7)) for number in range(1, last + 1))
