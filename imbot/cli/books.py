"""The rules that a command looks at: those of the settings, or of files that it was given."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from imbot.cli.plugins import load_plugins
from imbot.cli.settings import load
from imbot.config import DEFAULT_FILE, Loaded
from imbot.engine.facts import Bot, Surroundings
from imbot.engine.spending import UNLIMITED
from imbot.errors import RulebookError
from imbot.loading import Wanted, budget_of_all, make_rulebook, placed, rule_paths, rule_secrets
from imbot.plugin import Operation
from imbot.pluginhost import Plugins, PluginSettings, find_plugins
from imbot.problems import Severity
from imbot.rulebook.schema import Budget, Rulebook
from imbot.settings import Settings

#: Where rules are looked for when nothing names them.
_DEFAULT_RULES = Path("rules")


@dataclass(frozen=True, slots=True)
class Books:
    """Where rulebooks come from.

    Attributes:
        loaded: The settings; None without any.
        plugins: The plugins.
    """

    loaded: Loaded | None
    plugins: Plugins

    @property
    def settings(self) -> Settings | None:
        """The settings; None without any."""
        return None if self.loaded is None else self.loaded.settings

    @property
    def strict_capabilities(self) -> bool:
        """Whether an operation that GWS does not list is withheld."""
        return self.settings is not None and self.settings.gws.strict_capabilities

    @property
    def budget(self) -> Budget:
        """The budget of all rules together."""
        return UNLIMITED if self.settings is None else budget_of_all(self.settings)

    def read(self, paths: Sequence[Path] = (), *, live: bool = False) -> Rulebook:
        """Return the rulebook of these paths, of the settings' without any.

        Args:
            paths: Files and folders.
            live: Whether the settings' ``shadow`` is not to count.

        Raises:
            RulebookError: With every error in it.
        """
        loaded = self.loaded
        if loaded is None:
            wanted, paths = Wanted(self.plugins), paths or [_DEFAULT_RULES]
        else:
            secrets = rule_secrets(loaded.settings, os.environ)
            wanted = Wanted.by(loaded.settings, self.plugins, secrets)
            wanted = replace(wanted, shadow=wanted.shadow and not live)
            paths = paths or rule_paths(loaded)
        book, problems = make_rulebook(paths, wanted, today=datetime.now(UTC).date())
        if book is None:
            told = problems if loaded is None else placed(problems, loaded)
            raise RulebookError([each for each in told if each.severity is Severity.ERROR])
        return book

    def around(self, book: Rulebook) -> Surroundings:
        """Return what rules see that is the same for every event."""
        settings = self.settings
        if settings is None:
            return Surroundings(calendars=book.calendars)
        return Surroundings(
            bot=Bot(settings.bot.nickname, settings.bot.instance),
            calendars=book.calendars,
            secrets=rule_secrets(settings, os.environ),
            country=settings.country,
            timezone=settings.timezone,
        )

    def needs(self, action: str) -> Operation | None:
        """Return the GWS operation that an action needs; None for none."""
        known = self.plugins.actions.get(action)
        return None if known is None else known.needs


def open_books(config: Path | None) -> Books:
    """Return where rulebooks come from: the settings if there are any, else the shipped plugins.

    Raises:
        ConfigError: The settings are wrong.
    """
    if config is None and not DEFAULT_FILE.exists():
        return Books(None, find_plugins(PluginSettings(), with_options=False))
    loaded = load(config)
    return Books(loaded, load_plugins(loaded))
