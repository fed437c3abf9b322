"""What is neither a user's mistake nor a bug: damage, a full disk, a directory that somebody else writes."""


class Fault(RuntimeError):
    """Training cannot go on here and now: one line that says why, and what can be done; exit code 1."""
