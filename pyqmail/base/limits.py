"""What a process may have of the system: descriptors, memory."""
import resource

MEMORY = 1 << 30                    # bytes of data of a process that talks to many strangers


def descriptors(wanted):
    """Raise the soft limit of open descriptors to `wanted`, with the hard one if that is lower and we are root; else as
    far as the hard one allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or wanted <= soft:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
            return
        except (ValueError, OSError):   # not root, or more than any process of this machine may have
            wanted = hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def memory(most=MEMORY):
    """No more than this many bytes of data from here on, in children neither."""
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
