"""What can be wrong with an action on a break.

BreakError                  every refusal; nothing was written
├── UnknownBreak            there is no break of that name
├── StaleBreak              somebody or something was faster: the named event number is not the newest
├── ActionRefused           the break is not in a state, or the input not of a kind, that allows it
└── SecondPersonNeeded      who proposed it may not approve it
"""

from pipelines.core.errors import PlatformError


class BreakError(PlatformError):
    """An action was refused; nothing was written."""


class UnknownBreak(BreakError):
    """There is no break of that name."""


class StaleBreak(BreakError):
    """The break has newer events than the one that was named."""


class ActionRefused(BreakError):
    """State or input do not allow the action."""


class SecondPersonNeeded(BreakError):
    """The same person may not approve what he has proposed."""
