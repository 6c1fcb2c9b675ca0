"""The page of metrics: every one with its labels and what it means."""

from collections.abc import Iterator

from docs.generator.markdown import table
from imbot.admin.health import Health
from imbot.admin.metrics import Metrics
from imbot.clock import SystemClock

#: What comes from the client library, and is documented there.
_PROCESS = "process_"

_SUFFIX = {"counter": "_total"}


def page() -> Iterator[str]:
    """Yield every metric."""
    metrics = Metrics(SystemClock())
    families = metrics.families(Health("ready", (), 0, 0))
    found = [family for family in families if not family.name.startswith(_PROCESS)]
    labels = metrics.labels
    yield from table(
        ("metric", "kind", "labels", "meaning"),
        (
            (
                f"`{family.name}{_SUFFIX.get(family.type, '')}`",
                family.type,
                ", ".join(f"`{name}`" for name in labels.get(family.name, ())),
                family.documentation,
            )
            for family in sorted(found, key=lambda family: family.name)
        ),
    )
