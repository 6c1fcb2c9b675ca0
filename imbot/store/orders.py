"""What people order about parked effects, written beside a running imbot or before the next start.

Each order is one short transaction of a connection of its own; the imbot of this store, which alone
acts, takes it up. Nothing is ordered about an effect that does not wait for a person.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import sqlalchemy as sa

from imbot.records import Effect, EffectState, OrderGiven, OrderTaken, SessionSeen
from imbot.store import rows
from imbot.store.connection import Database
from imbot.store.migrations import require_current
from imbot.store.queries import existing_path
from imbot.store.schema import ORDER_IS_WAITING, effects, orders, sessions
from imbot.store.statements import Statements


@dataclass(frozen=True, slots=True)
class About:
    """What an order is about.

    Attributes:
        effect: The effect as it stands.
        session: Its session as it stands; None when it has none that is known.
    """

    effect: Effect
    session: SessionSeen | None


#: Says why an order is refused; empty when it is not.
WhyNot = Callable[[About], str]


class OrderBook:
    """Takes orders down; a context manager that closes it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._statements = Statements(database.dialect)

    def __enter__(self) -> Self:
        """Return the book."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the store."""
        self._database.close()

    def give(self, order: OrderGiven, why_not: WhyNot) -> str:
        """Return when an order is durable, in the place of one that waits; or why it is refused.

        Raises:
            StoreError: The store refused; nothing is ordered.
        """
        with self._database.transaction():
            about = self._about(order.effect_id)
            if about is None:
                return "there is no such effect; `imbot parked` lists those that wait"
            if about.effect.state is not EffectState.PARKED:
                return f"it is {about.effect.state} and does not wait for a person"
            if refused := why_not(about):
                return refused
            replaced = [
                OrderTaken(number, order.at, f"{order.by} ordered otherwise")
                for number in self._waiting(order.effect_id)
            ]
            for sql, values in self._statements.writes([*replaced, order]):
                self._database.connection.exec_driver_sql(sql, values)
        return ""

    def _about(self, effect_id: str) -> About | None:
        found = sa.select(effects).where(effects.c.effect_id == effect_id)
        row = self._database.connection.execute(found).mappings().first()
        if row is None:
            return None
        effect = rows.to_effect(row)
        key = effect.intent.agent, effect.intent.session_id
        of_session = sa.select(sessions).where(
            sessions.c.agent == key[0], sessions.c.session_id == key[1]
        )
        shown = self._database.connection.execute(of_session).mappings().first()
        return About(effect, None if shown is None else rows.to_session_seen(shown))

    def _waiting(self, effect_id: str) -> list[int]:
        statement = sa.select(orders.c.seq).where(orders.c.effect_id == effect_id, ORDER_IS_WAITING)
        return list(self._database.connection.scalars(statement))


def open_orders(url: str, *, base: Path) -> OrderBook:
    """Open a store for orders; an imbot that writes it is not disturbed.

    Args:
        url: As :func:`imbot.store.database.open_store` takes it.
        base: The folder that a relative path starts from.

    Raises:
        ConfigError: The URL names no store that imbot knows.
        StoreError: There is none, it cannot be written, or it is older or newer than this imbot.
    """
    database = Database(str(existing_path(url, base)))
    try:
        require_current(database)
    except BaseException:
        database.close()
        raise
    return OrderBook(database)
