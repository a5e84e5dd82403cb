"""Which process of a running installation has which role."""
import collections
import grp
import pwd

from tests.peers import proc

LOG, EVENTS = "pipe", "[eventpoll]"


def uid(name):
    return pwd.getpwnam(name).pw_uid


def gid(name):
    return grp.getgrnam(name).gr_gid


def pair(processes):
    """(those whose parent is not among them, those whose parent is)."""
    pids = {process.pid for process in processes}
    return ([process for process in processes if process.parent not in pids],
            [process for process in processes if process.parent in pids])


def by_role(processes):
    """{role: [Process]}; of programs with one kind of process the role is their name."""
    found = collections.defaultdict(list)
    for process in processes:
        found[process.program].append(process)
    [found["guardian"], found["service"]] = pair(found.pop("qmail-queue"))
    [found["rguardian"], found["qmail-rspawn"]] = pair(found.pop("qmail-rspawn"))
    spawn = found.pop("qmail-lspawn")
    [found["lspawn"]] = [[process] for process in spawn if process.uid == 0]
    found["resolver"] = [process for process in spawn if process.uid == uid("qmailp")]
    found["warm"] = [process for process in spawn if process.uid not in (0, uid("qmailp"))]
    check = found.pop("qmail-rcptcheck")
    found["rcptcheck"] = [process for process in check if process.uid == 0]
    found["rcptfront"] = [process for process in check if process.uid == uid("qmailp") and LOG in process.fds.values()
                          and EVENTS in process.fds.values() and list(process.fds.values()).count("socket") > 1]
    found["rcptresolver"] = [process for process in check if process.uid == uid("qmailp")
                             and process not in found["rcptfront"]]
    found["rcptlook"] = [process for process in check if process.uid not in (0, uid("qmailp"))]
    popup = found.pop("qmail-popup")
    found["authenticator"] = [process for process in popup if process.uid == 0]
    [authenticator] = found["authenticator"]
    accepting = [process for process in popup if process.uid == uid("qmaild")]
    found["front"] = proc.children(authenticator, accepting)
    found["popworker"] = [process for process in accepting if process not in found["front"]]
    found["pop3d"] = [process for process in popup if process.uid not in (0, uid("qmaild"))]
    smtpd = found.pop("qmail-smtpd")
    [supervisor] = found["qmailctl"]
    found["smtpd"] = proc.children(supervisor, smtpd)
    found["smtpworker"] = [process for process in smtpd if process not in found["smtpd"]]
    return found
