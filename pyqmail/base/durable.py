"""Putting a file's contents on the disk without a journal commit of their own.

A new message costs two things to make safe: its contents, and the name under which it is found.
`fsync` before the name is made and `fsync` after it are two commits. On ext4 and XFS one is enough:
sync_file_range(2) writes the blocks and waits for them; extents and size are then part of the
running transaction or an earlier one, and the name, made afterwards, can only get to the disk
together with them or later (the commit flushes the disk's cache first). The one fsync that follows
the name commits everything. So whoever finds the name after a power cut finds the whole contents.

That order is a property of these file systems; on every other one (btrfs completes extents after
the write-back that sync_file_range waits for) flush() is fsync.
"""
import os

WRITE_AND_WAIT = 1 | 2 | 4          # sync_file_range: wait for writes under way, write, wait
ORDERED = (0xEF53, 0x58465342)      # statfs f_type: ext2/3/4, XFS
STATFS_SIZE = 256                   # bytes; struct statfs has 120, f_type is its first long


def data_flusher():
    """flush(fd), as described above. Costs an import of ctypes (2-7 ms): for long-lived processes;
    others use os.fsync in its place. flush raises OSError."""
    import ctypes                   # only long-lived programs come here
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        sync_file_range, fstatfs = libc.sync_file_range, libc.fstatfs
    except (OSError, AttributeError):
        return os.fsync
    sync_file_range.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]

    def flush(fd):
        about = (ctypes.c_long * (STATFS_SIZE // ctypes.sizeof(ctypes.c_long)))()     # own buffer: threads share us
        if fstatfs(fd, about) != 0 or about[0] not in ORDERED or sync_file_range(fd, 0, 0, WRITE_AND_WAIT) != 0:
            os.fsync(fd)
    return flush
