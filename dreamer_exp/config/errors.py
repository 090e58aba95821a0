"""The one exception for a user's mistake: one clear line, exit code 2."""


class UserError(Exception):
    """A mistake that the user can mend: printed as it is, without a traceback; the process exits with code 2.

    The message names the key, the value, what is allowed and what to do.
    """
