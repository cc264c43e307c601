"""Copies of one exception for all who wait for the load that raised it."""

import contextlib
from types import GetSetDescriptorType, MemberDescriptorType

FIELDS = MemberDescriptorType, GetSetDescriptorType


def error_copy(error: BaseException) -> BaseException:
    """A copy of *error* for one waiter, or *error* itself where its class can't be copied.

    Raised in a thousand waiters, one shared exception would carry the context, and the notes, of
    whichever caller came last.
    """
    kind = type(error)
    try:
        twin = kind.__new__(kind, *error.args)  # not called: it may take other arguments
        twin.__dict__.update(error.__dict__)
        if hasattr(error, "__notes__"):
            twin.__notes__ = list(error.__notes__)
        for name in dir(kind):  # what lies in slots, or in C: args, errno, cause, traceback
            if isinstance(getattr(kind, name, None), FIELDS):
                with contextlib.suppress(AttributeError):  # not set, or not to be set
                    value = getattr(error, name)
                    if getattr(twin, name, twin) is not value:  # else "[Errno None] None" is shown
                        setattr(twin, name, value)
        return twin
    except Exception:
        return error
