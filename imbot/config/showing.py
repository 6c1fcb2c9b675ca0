"""The settings in force as plain values to show, every secret masked."""

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import SecretStr

from imbot.model import JSON
from imbot.settings import Settings, Spelled

_MASK = "********"

#: A password in a database URL.
URL_PASSWORD = re.compile(r"(?<=://)([^/@:]*):[^@]+(?=@)")


def masked(settings: Settings) -> JSON:
    """Return the settings as plain values to show.

    Masked are also options of plugins whose names sound secret, or that were filled in from a
    secret place: what a plugin means by an option nobody here can know.
    """
    shown = settings.model_dump()
    shown["plugins"]["options"] = settings.plugins.options  # dumped, a spelled number is a mapping
    return _masked(shown)


def secrets_of(settings: Settings) -> dict[str, str]:
    """Return every secret of the settings by where it stands, and what Basic makes of passwords."""
    shown = settings.model_dump()
    shown["plugins"]["options"] = settings.plugins.options
    found = dict(_secrets("", shown))
    for agent in settings.agents:
        if agent.password is not None:
            both = f"{agent.user}:{agent.password.get_secret_value()}".encode(agent.encoding)
            found[f"agents.{agent.user}.basic"] = b64encode(both).decode()
    return found


def _secrets(place: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, SecretStr):
        yield place.removeprefix("."), value.get_secret_value()
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _secrets(f"{place}.{key}", item)
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _secrets(f"{place}.{number}", item)


def _masked(value: object) -> JSON:
    if isinstance(value, Mapping):
        return {str(key): _masked(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(item) for item in value]
    match value:
        case SecretStr():
            return _MASK
        case Spelled():
            return value.number
        case str() | Path():
            return URL_PASSWORD.sub(rf"\1:{_MASK}", str(value))
        case _:
            return value
