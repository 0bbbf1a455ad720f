"""What can go wrong, in the few kinds a caller may want to tell apart."""


class PermaskError(Exception):
    """Base of every error that permask raises on purpose: what was expected, what came, what to do."""


class NetworkError(PermaskError):
    """A network that cannot be captured, or that does not fit a symmetry, mask or permutation."""


class RuleError(PermaskError):
    """A rule for an op that fails: it has a mistake, or meets a call that it was not written for."""


class StudyError(PermaskError):
    """A study file, or an override of it, that does not describe a study."""


class StoreError(PermaskError):
    """A store that cannot be read or written."""


class DataError(PermaskError):
    """A data set that is missing, corrupt or not laid out as expected."""
