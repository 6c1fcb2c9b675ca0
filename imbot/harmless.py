"""Text from anywhere, as it can be shown to people. No I/O."""


def harmless(text: str) -> str:
    """Return text from anywhere as it can be shown: on one line, and unable to steer a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
