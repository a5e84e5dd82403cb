"""The recorded cases, replayed against an installation made from this checkout: one test a case.

A suite is run when the first of its cases is asked for, as a whole or, with -k, as much of it as
was selected. Needs root and Linux namespaces. Differences on purpose stand in DIFFERENCES.md.
"""
import glob
import json
import os
import subprocess
import sys
import tempfile

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
SERVICE = "exec $QMAILHOME/bin/qmail-queue --service"
JOBS = str(max(2, min(8, 2 * (os.cpu_count() or 1))))     # cases wait more than they work
SKIPPED = "skipped"


def tables():
    """The rows of the tables of DIFFERENCES.md, by number of the table."""
    found, above = [], ""
    with open(os.path.join(HERE, "DIFFERENCES.md"), encoding="utf-8") as f:
        for line in f:
            if line.startswith("|---"):
                found.append([])
            elif line.startswith("|") and above.startswith("|"):
                found[-1].append([cell.strip() for cell in line.strip().strip("|").split("|")])
            above = line
    return found


CASES, ASSUMPTIONS = tables()
DIFFERENT = {(suite, case): reason for suite, case, reason in CASES}


def suites():
    """{path: suite} of the suites whose programs exist in this checkout."""
    programs = set(os.listdir(os.path.join(HERE, "../../bin")))
    for path in sorted(glob.glob(os.path.join(HERE, "*.json"))):
        with open(path, encoding="utf-8") as f:
            suite = json.load(f)
        defaults = suite.get("defaults", {})
        kinds = {case.get("kind", defaults.get("kind")) for case in suite["cases"]}
        needed = {case.get("program", defaults.get("program", "qmail-send")) for case in suite["cases"]}
        if "vpopmail" in kinds:
            needed = {step["program"] for case in suite["cases"] for step in case["steps"]
                      if "/" not in step.get("program", "/")}
        if needed <= programs:
            yield path, suite


SUITES = dict(suites())
PARAMETERS = [pytest.param(path, case["name"], id=f"{suite['suite']}:{case['name']}")
              for path, suite in SUITES.items() for case in suite["cases"]]


@pytest.fixture(scope="session")
def replayed(request, conformance_home, tmp_path_factory):
    """replayed(path): {case: result} of a suite."""
    asked, known = {}, {}
    for item in request.session.items:
        if item.function is test_case:
            asked.setdefault(item.callspec.params["path"], []).append(item.callspec.params["name"])

    def results(path):
        if path not in known:
            out = tmp_path_factory.mktemp("replay") / "results.json"
            known[path] = replay(path, asked[path], conformance_home, out)
        return known[path]
    return results


def replay(path, names, home, out):
    selection = [word for name in names for word in ("--case", name)]
    if len(names) == len(SUITES[path]["cases"]):
        selection = []
    skip = [word for row in ASSUMPTIONS for word in ("--skip-assuming", row[0])]
    words = [sys.executable, "-m", "replay", path, "--home", home, "--jobs", JOBS, "--json", str(out), "--service", SERVICE]
    prefix = []
    if os.path.basename(path).startswith("vpopmail"):
        prefix = vpopmail_home(SUITES[path]["suite"], home, tempfile.mkdtemp(dir=os.path.dirname(os.path.dirname(home))))
    done = subprocess.run([*prefix, *words, *skip, *selection], cwd=HERE, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if not out.exists():
        return {"": done.stdout}
    with open(out, encoding="utf-8") as f:
        return {result["case"]: result for result in json.load(f)}


# vpopmail's suites were recorded on builds with these options.
RECORDED = "password-hash md5\nclear-passwd yes\n"
OPTIONS = {
    "vpopmail-options": RECORDED + "domain-quotas yes\nqmail-ext yes\nlearn-passwords yes\nonchange-script yes\nsqwebmail-pass yes\n"
                                   "passwd yes\nlogging v\n",
    "vpopmail-options-off": "password-hash des\nclear-passwd no\nusers-big-dir no\nauth-logging no\n"
                            "roaming-users no\nlogging y\n",
}
OWNER, GROUP, NUMBER = "vpopmail", "vchkpw", "89"         # as in the recorded files
FILL = """set -e
place=$1 home=$2 options=$3
mkdir "$place/vpopmail" "$place/vpopmail/bin" "$place/vpopmail/etc" "$place/vpopmail/domains"
for program in "$home"/bin/*; do ln -s "$program" "$place/vpopmail/bin/"; done
printf %s "$options" >"$place/vpopmail/options"
cp -a /etc "$place/etc" || true     # somebody changing accounts meanwhile: files of a moment
cat "$place/passwd" >"$place/etc/passwd"
cat "$place/group" >"$place/etc/group"
mount --bind "$place/etc" /etc
chown -R vpopmail:vchkpw "$place/vpopmail"
shift 3
exec "$@"
"""


def with_entry(path, name, entry):
    """A file of accounts or groups with this line and no other of its name or number."""
    with open(path, encoding="utf-8") as f:
        others = [line for line in f if line.split(":")[0] != name and line.split(":")[2:3] != [NUMBER]]
    return "".join(others) + entry + "\n"


def vpopmail_home(suite, home, place):
    """What to put in front of a command for which a fresh VPOPHOME with our programs lies in `place`, and the user
    vpopmail is who it was in the recorded cases, whoever is so called, or has that number, on this machine."""
    accounts = (("passwd", OWNER, f"{OWNER}:x:{NUMBER}:{NUMBER}::{place}/vpopmail:/bin/false"),
                ("group", GROUP, f"{GROUP}:x:{NUMBER}:"))
    for file, name, entry in accounts:
        with open(f"{place}/{file}", "w", encoding="utf-8") as f:
            f.write(with_entry(f"/etc/{file}", name, entry))
    os.chmod(place, 0o755)
    return ["unshare", "--mount", "sh", "-c", FILL, "sh", place, home, OPTIONS.get(suite, RECORDED)]


@pytest.mark.root
@pytest.mark.conformance
@pytest.mark.parametrize("path,name", PARAMETERS)
def test_case(replayed, path, name):
    results = replayed(path)
    assert name in results, results.get("", "the replay tool said nothing about this case")
    result = results[name]
    if result["status"] == SKIPPED:
        pytest.skip(result["lines"][0])
    reason = DIFFERENT.get((SUITES[path]["suite"], name))
    if reason is None:
        assert result["status"] == "passed", "\n".join(result["lines"])
    else:
        assert result["status"] == "failed" or reason.startswith("sometimes"), f"it passes, but is listed: {reason}"


def test_every_difference_is_a_case():
    known = {(suite["suite"], case["name"]) for suite in SUITES.values() for case in suite["cases"]}
    assert set(DIFFERENT) <= known
    assert all(reason for reason in DIFFERENT.values())
