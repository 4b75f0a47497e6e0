"""How many files and connections the process may have open at once."""

import sys

MOST = 65_536
"""The limit is not raised beyond this: some systems name none, and others make tables of the size of the limit."""


def raise_descriptor_limit() -> int:
    """Raise the soft limit of descriptors to the hard one; the limit as it is then.

    Without it a shell's default holds, 256 or 1024 on most systems, and what a vendor answers beyond it has no file to
    be kept in.
    """
    if sys.platform == "win32":
        return MOST
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            # macOS says that it has no hard limit, and takes no soft one above its own.
            return soft
        return wanted
    return MOST if soft == resource.RLIM_INFINITY else soft
