"""What the checker reports: errors where it is certain, else warnings."""

from imbot.problems import Place, Problem, Severity


def error(place: Place, code: str, what: str, cure: str = "") -> Problem:
    """Return a problem that is certain."""
    return Problem(place, code, what, cure)


def warning(place: Place, code: str, what: str, cure: str = "") -> Problem:
    """Return a problem that is likely."""
    return Problem(place, code, what, cure, Severity.WARNING)
