"""The recorded cases, replayed against an installation made from this checkout: one test a case.

A suite is run when the first of its cases is asked for, as a whole or, with -k, as much of it as
was selected. Needs root and Linux namespaces. Differences on purpose stand in DIFFERENCES.md.
"""
import glob
import json
import os
import pwd
import subprocess
import sys

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
    virtual = os.path.basename(path).startswith("vpopmail")
    if virtual:
        trouble = no_vpopmail()
        if trouble:
            return {"": trouble, **{name: {"status": SKIPPED, "lines": [trouble]} for name in names}}
    words = [sys.executable, "-m", "replay", path, "--home", home, "--jobs", JOBS, "--json", str(out), "--service", SERVICE]
    prefix = vpopmail_home(SUITES[path]["suite"], home) if virtual else []
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
FILL = """set -e
mount -t tmpfs -o mode=755 vpopmail "$1"
mkdir "$1/bin" "$1/etc" "$1/domains"
for program in "$2"/bin/*; do ln -s "$program" "$1/bin/"; done
printf %s "$3" >"$1/options"
chown -R vpopmail:vchkpw "$1"
shift 3
exec "$@"
"""


def no_vpopmail():
    """Why the suites of vpopmail cannot be replayed on this machine; None if they can."""
    try:
        found = pwd.getpwnam("vpopmail")
    except KeyError:
        return "there is no user vpopmail"
    if (found.pw_uid, found.pw_gid) != (89, 89):
        return "vpopmail's uid and gid are not those of the recorded files (89)"
    return None if os.path.isdir(found.pw_dir) else "vpopmail has no home"


def vpopmail_home(suite, home):
    """What to put in front of a command for which the home of vpopmail is a fresh one with our programs."""
    place = pwd.getpwnam("vpopmail").pw_dir
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
