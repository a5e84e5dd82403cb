"""What a process may have of the system: descriptors, memory."""
import resource

MEMORY = 1 << 30                    # bytes of data of a process that talks to many strangers


def descriptors(wanted):
    """Raise the soft limit of open descriptors to `wanted`, as far as the hard one allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def memory(most=MEMORY):
    """No more than this many bytes of data from here on, in children neither."""
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
