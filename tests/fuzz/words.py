"""Words of which the fuzzer makes files and expressions: right ones, and odd ones."""

from random import Random

#: What no author writes on purpose.
ODD = (
    "", " ", "\x00", "\ufeff", "\ud800", "\udfff\ud83d", "\U0010ffff", "\u202e", "\x85", "\u2028",
    "\u200b", "e\u0301" * 40, "\U0001f926\U0001f3fd\u200d\u2642\ufe0f", "\x1b[31m", "\x7f", "\t",
    "\r",
    "\r\n", "\n\n\n", "~", "null", "yes", "on", "012", "1:20", "0x1F", "0o17", "1e999", "-1e-999",
    ".inf", "-.INF", ".nan", "9" * 400, "-" + "9" * 19, "1" + "0" * 5000, "0.1" + "0" * 300,
    "1_000",
    "\u0665\u0666", "\u00b2", "<<", "*a", "&a", "!!python/object/apply:os.system", "!x", "%", "@",
    "`",
    "---", "...", "? ", "- ", ": ", " #", "{{", "}}", "{%", "%}", "{#", "{{ ", "{{ x", "{{}}", "[",
    "]",
    "{", "}", "(", ")", "'", '"', "\\", "\\x00", "\\ud800", "|", ">-", "a" * 3000, "\u00e9" * 2000,
    "__class__", "../../etc/passwd", "${env:HOME}", "true", "false", "0", "-0", "1", "-1", "1.5",
    "2026-02-30", "2026-03-29T02:30:00", "\u201cquoted\u201d", "constructor", "__proto__",
)  # fmt: skip
DURATIONS = (
    "5m", "30s", "1h30m", "0s", "1ms", "366d", "99999999d", "-5m", "5 m", "1.5h", "1e3s", "5", "m5",
    "9" * 40 + "d", "\u0665m", "1s1s1s", "0.000001ms", "24h", "1d",
)  # fmt: skip
ZONES = (
    "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia",
    "UTC",
    "Africa/Casablanca", "Europe/berlin", "Mars/Base", "../UTC", "/etc/localtime", "", "Etc/GMT+12",
    "posixrules", "tzdata.zi", "Europe", "UTC\x00", "a" * 300, "localtime", "CET",
)  # fmt: skip
SCHEDULES = (
    "0 9 * * mon-fri", "*/5 * * * *", "0 0 1 1 *", "@monthly", "@hourly", "0 0 31 2 *",
    "0 0 29 2 1",
    "59 23 31 12 0", "* * * * *", "*/0 * * * *", "60 * * * *", "0 9 * *", "0 9 * * 1-7",
    "0 9 * * 7",
    "0 9 * * fri-mon", "1-59/7,3 0-23/5 1,15 jan-dec/2 mon,wed", "0 9 L * *", "0 9 15W * *",
    "0 9 * * mon#2", "0-99999999999 * * * *", "a b c d e", "* * * * * *", "0 0 0 0 0", "@never",
    "0 2 29 3 *", "*/99999999999999999999 * * * *", ",,,, * * * *", "- - - - -", "1-0 * * * *",
)  # fmt: skip
PATTERNS = (
    "^[1-5]$", r"\d+", "(a+)+$", "(a|aa)*b", "[", "(", "*", "a{1,1000}", "a{1001}", r"\p{Greek}+",
    r"\p{No}", "(?i)yes|no", "(?P<n>x)", r"(x)\1", "(?=x)", "(?<!x)", ".*" * 200,
    "((((((a?){9}){9}){9}))",
    "x" * 5000, "(" * 300 + ")" * 300, "", "^$", "(?s).*", "\u00e4|\u00f6", "\\", r"\C",
    "[[:alpha:]]",
    "((a{100}){100}){100}", "(|){1000}", "[a-z]{900}[0-9]{900}", "|".join(["a{1,90}"] * 100),
    r"\pL{1,100}", r"(\pL\pN){30}",
    "|".join(["[a-z]{1,90}"] * 11), "(?i)" + "[a-z]{30}" * 20, "\x00", "\ud800",
)  # fmt: skip
SLOTS = (
    "08:00-18:00", "08:00-12:00, 13:00-16:00", "22:00-06:00", "00:00-24:00", "24:00-24:00",
    "08:00-08:00", "25:00-26:00", "8-18", "closed", "", "08:00\u201318:00",
    "08:00-12:00,08:30-09:00",
    "-".join(["08:00"] * 40), ", ".join(f"{h:02}:00-{h:02}:30" for h in range(24)),
)  # fmt: skip
DAYS = (
    "mon-fri",
    "sat",
    "fri-mon",
    "mon,wed",
    "sun-sun",
    "mon-",
    "xyz",
    "Monday",
    "0",
    "mon-fri-sun",
)
COUNTRIES = (
    "DE",
    "US",
    "GB",
    "AT",
    "FR",
    "IN",
    "XX",
    "de",
    "DE\x00",
    "__init__",
    "",
    "HolidayBase",
)
REGIONS = ("BY", "NY", "SCT", "9", "xx", "", "BY\n")
URLS = (
    "https://crm.example/a", "https://a.example/{{ session.id }}?q={{ message.text }}",
    "{{ secret('CRM_URL') }}/x",
    "http://crm.example", "https://crm.example:99999/", "https://[::1",
    "https://{{ message.text }}/",
    "ftp://x", "//crm.example/x", "https://crm.example@evil.example/", "https://crm.example/%zz",
    "",
    "https://\u212a.example/", "https://crm.example\\@x/", "https://crm.example/" + "a" * 3000,
    "{{ vars.url }}/x",
)  # fmt: skip
STATES = ("Talking", "Alerting", "Completed", "Inviting", "talking", "Gone", "Held", "")
KEYS = (
    "version", "vars", "calendars", "blocks", "rules", "shadow", "id", "description", "enabled",
    "trigger", "when", "key", "mode", "max", "once", "throttle", "max_age", "priority", "final",
    "budget", "loop_guard", "do", "on_error", "state", "message", "userdata", "idle", "calendar",
    "schedule", "every", "connection", "webhook", "timezone", "missed", "own", "opens", "closes",
    "reply", "set", "unset", "complete", "initiate", "http", "crm.lookup", "crm.upsert", "let",
    "if",
    "then", "else", "parallel", "wait", "wait_for", "stop", "call", "log", "as", "timeout", "retry",
    "name", "even_if_completed", "to", "text", "from", "contains", "equals", "matches",
    "startswith",
    "by", "once_within", "per_session", "per_minute", "times", "backoff", "block", "with", "inputs",
    "get", "post", "put", "patch", "delete", "headers", "json", "form", "expect", "idempotency_key",
    "open", "holidays", "exceptions", "ics", "country", "region", "agent", "userData", "fields",
)  # fmt: skip
MODES = ("single", "queue", "restart", "parallel", "once", "Single", "")


def odd(random: Random) -> str:
    """Return a text that no author writes on purpose, or two of them side by side."""
    text = random.choice(ODD)
    return text + random.choice(ODD) if random.random() < 0.2 else text


def characters(random: Random, most: int) -> str:
    """Return characters from all over Unicode, the forbidden ones included."""
    tops = (0x7F, 0x7F, 0x7F, 0xFF, 0x24F, 0xFFFF, 0x10FFFF)
    return "".join(
        chr(random.randint(0, random.choice(tops))) for _ in range(random.randint(0, most))
    )
