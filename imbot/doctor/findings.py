"""What the doctor looks at, what it may find there, and which check needs which."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from imbot.meaning import Meant
from imbot.problems import Problem, Severity


class Grade(Meant):
    """How good or bad it is, from best to worst."""

    OK = "ok", "As it should be."
    HINT = "hint", "It works, and could be better, or nobody can know yet."
    SKIPPED = "skipped", "Not looked at: another check failed, or it could disturb a running imbot."
    WARNING = "warning", "imbot starts, and something will not work as it should."
    FAILED = "failed", "imbot does not start, or cannot serve an agent."


class Check(Meant):
    """One thing that is looked at, in the order of looking."""

    PYTHON = (
        "python",
        "The version of Python, and that libraries check themselves: no `PYTHONOPTIMIZE`, no `-O`.",
    )
    PACKAGES = "packages", "imbot, and that each package that it needs is as new as it asks for."
    PARSER = "parser", "That aiohttp reads HTTP with its parser in C."
    EXTRAS = "extras", "Whether uvloop and orjson, the extra `fast`, are there."
    ZONES = "zones", "The time zone data: which, and how old."
    SETTINGS = "settings", "The settings: every mistake and every warning in them."
    SECRETS = "secrets", "That imbot can read every secret, and others none that stands in clear."
    PLUGINS = "plugins", "That each plugin loads, takes its options and passes its self-check."
    RULES = "rules", "The rules: every mistake and every warning that `imbot check` finds."
    CALENDARS = (
        "calendars",
        "That each calendar of the rules opens again, and knows the holidays of the year ahead.",
    )
    FILES = "files", "The limit of open files against what so many agents need."
    MEMORY = "memory", "The memory that is free against what so many agents need, and swap."
    ADDRESS = "address", "That `admin.listen` is free, or that this imbot listens there."
    FOLDER = "folder", "The folder of the store: that it can be written to, and its free space."
    PERMISSIONS = "permissions", "That nobody but imbot's user can read the store."
    STORE = "store", "That the store is as imbot wrote it, and what is in quarantine."
    ECHOES = "echoes", "Whether this GWS shows imbot its own messages, as far as it was learnt."
    DNS = "dns", "The addresses of GWS's name."
    PORT = "port", "That something listens at `gws.url`."
    TLS = "tls", "The certificate of GWS: who vouches for it, and until when."
    VERSION = "version", "That GWS answers, and which one it is."
    CLOCK = "clock", "How far the clocks of GWS and of this machine are apart."
    TOKEN = "token", "How long the agent's bearer token is good, where it tells."
    LOGIN = "login", "That GWS takes the agent's credentials and demands no new password."
    FEATURE = "feature", "That the account may do instant messages."
    DEVICE = "device", "Which device, with which number, imbot will use, and its state."
    ANNEX = "annex", "That the device's DN allows instant messages, as far as GWS shows its annex."
    SESSIONS = "sessions", "That the agent's IM sessions can be listed, and how many there are."
    CSRF = "csrf", "Whether GWS demands a CSRF token, and that it takes the one it gave."
    HANDSHAKE = "handshake", "That CometD begins a session for the agent, and how it is to be used."
    TRANSPORT = "transport", "That CometD offers long-polling."
    CHANNELS = "channels", "That each channel can be subscribed to."
    CONNECT = "connect", "That a poll that is not to be held is answered."
    ACK = "ack", "Whether CometD sends again what did not arrive."
    HOLD = "hold", "That a poll is held as long as CometD says, and then answered."


#: What is not looked at once one of these failed, or was not looked at itself.
NEEDS: Mapping[Check, Sequence[Check]] = {
    Check.SECRETS: (Check.SETTINGS,),
    Check.PLUGINS: (Check.SETTINGS,),
    Check.RULES: (Check.SETTINGS,),
    Check.CALENDARS: (Check.RULES,),
    Check.FILES: (Check.SETTINGS,),
    Check.MEMORY: (Check.SETTINGS,),
    Check.ADDRESS: (Check.SETTINGS,),
    Check.FOLDER: (Check.SETTINGS,),
    Check.PERMISSIONS: (Check.FOLDER,),
    Check.STORE: (Check.FOLDER,),
    Check.ECHOES: (Check.STORE,),
    Check.DNS: (Check.SETTINGS,),
    Check.PORT: (Check.DNS,),
    Check.TLS: (Check.PORT,),
    Check.VERSION: (Check.TLS,),
    Check.CLOCK: (Check.VERSION,),
    Check.TOKEN: (Check.VERSION,),
    Check.LOGIN: (Check.TOKEN,),
    Check.FEATURE: (Check.LOGIN,),
    Check.DEVICE: (Check.LOGIN,),
    Check.ANNEX: (Check.DEVICE,),
    Check.SESSIONS: (Check.FEATURE,),
    Check.CSRF: (Check.LOGIN,),
    Check.HANDSHAKE: (Check.CSRF,),
    Check.TRANSPORT: (Check.HANDSHAKE,),
    Check.CHANNELS: (Check.TRANSPORT,),
    Check.CONNECT: (Check.CHANNELS,),
    Check.ACK: (Check.HANDSHAKE,),
    Check.HOLD: (Check.CONNECT,),
}

#: What is looked at once for each agent, and what with the first one that gets so far.
OF_AGENTS = (
    Check.TOKEN,
    Check.LOGIN,
    Check.FEATURE,
    Check.DEVICE,
    Check.ANNEX,
    Check.SESSIONS,
    Check.CSRF,
    Check.HANDSHAKE,
    Check.TRANSPORT,
    Check.CHANNELS,
    Check.CONNECT,
)
WITH_ONE_AGENT = (Check.ACK, Check.HOLD)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; whatever is not ok names its cure.

    Attributes:
        grade: How good or bad it is.
        found: What there is, with figures.
        cure: What to do about it, one sentence; empty where all is well.
    """

    grade: Grade
    found: str
    cure: str = ""

    def __post_init__(self) -> None:
        if (self.grade is Grade.OK) == bool(self.cure):
            raise ValueError(f"{self.grade} and the cure {self.cure!r} do not go together")

    @classmethod
    def ok(cls, found: str) -> Self:
        """Return that all is well."""
        return cls(Grade.OK, found)

    @classmethod
    def hint(cls, found: str, cure: str) -> Self:
        """Return that it could be better."""
        return cls(Grade.HINT, found, cure)

    @classmethod
    def warning(cls, found: str, cure: str) -> Self:
        """Return that something will not work as it should."""
        return cls(Grade.WARNING, found, cure)

    @classmethod
    def failed(cls, found: str, cure: str) -> Self:
        """Return that it does not work."""
        return cls(Grade.FAILED, found, cure)

    @classmethod
    def skipped(cls, found: str, cure: str) -> Self:
        """Return why it was not looked at."""
        return cls(Grade.SKIPPED, found, cure)

    @classmethod
    def of(cls, problem: Problem, cure: str) -> Self:
        """Return a mistake in a file; ``cure`` is for one that names none."""
        grade = Grade.FAILED if problem.severity is Severity.ERROR else Grade.WARNING
        return cls(grade, f"{problem.place}: {problem.what}", problem.cure or cure)


@dataclass(frozen=True, slots=True)
class Result:
    """A finding with what it is about.

    Attributes:
        check: What was looked at.
        finding: What was found.
        about: Whose, where it is an agent's; empty otherwise.
    """

    check: Check
    finding: Finding
    about: str = ""


#: Grades from best to worst.
_ORDER = tuple(Grade)


def worst(findings: Sequence[Finding]) -> Grade:
    """Return the worst grade among findings; ok where there are none."""
    return max((finding.grade for finding in findings), key=_ORDER.index, default=Grade.OK)
