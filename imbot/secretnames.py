"""Which names usually stand before a secret; no other module guesses."""

import re

_LAST_WORDS = (
    *("authorization", "cookie", "token", "secret", "password", "passwd", "passphrase", "pwd"),
    *("apikey", "accesskey", "privatekey", "subscriptionkey", "credential", "credentials"),
)


def is_secret_name(name: str) -> bool:
    """Whether what stands under such a key is usually a secret."""
    return re.sub(r"[-_. ]", "", name).casefold().endswith(_LAST_WORDS)
