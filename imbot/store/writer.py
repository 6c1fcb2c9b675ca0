"""Group commit: what comes together, or while a transaction is written, goes into one.

A writer owns the database from when it is made. Rows are written in the order given; the first
error ends everything: what was not yet written never is, and every waiter and later caller is told.
"""

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from imbot.errors import StoreError
from imbot.store.connection import Database
from imbot.store.statements import Write

#: Rows that nobody waits for are durable at the latest so many seconds later.
NOTE_DELAY_S = 0.05

#: Turns of the event loop that a group waits for what follows at once: the intents of the batch.
TURNS = 4

#: Something to do with the database after the rows given before it are durable.
Task: TypeAlias = Callable[[Database], Any]

_CLOSED: Final = StoreError("store: it is closed")


class Writer(Protocol):
    """Takes rows and tasks in order; the thread and the inline one differ in when they work."""

    def note(self, rows: Sequence[Write]) -> None:
        """Take rows that nobody waits for.

        Raises:
            StoreError: The writer takes nothing more.
        """
        ...

    async def carry_out(self, task: Task | None, rows: Sequence[Write] = ()) -> Any:  # noqa: ANN401  what the task returns
        """Write these rows and all before, then return what the task returns.

        Raises:
            StoreError: They are not written, or the task failed.
        """
        ...

    async def close(self) -> None:
        """Write what waits and close the database.

        Raises:
            StoreError: Something that was taken is not written.
        """
        ...

    def abandon(self) -> None:
        """Close the database as a crash would: what is not written is lost."""
        ...


class _Ask:
    """A task, who waits for it, and what it came to."""

    __slots__ = ("error", "future", "result", "task")

    def __init__(self, task: Task | None, future: asyncio.Future[Any]) -> None:
        self.task = task
        self.future = future
        self.result: Any = None
        self.error: StoreError | None = None

    def resolve(self) -> None:
        """Tell who waits, unless they have gone away."""
        if self.future.done():
            return
        if self.error:
            self.future.set_exception(_again(self.error))
        else:
            self.future.set_result(self.result)


def _again(error: StoreError) -> StoreError:
    """Return the same error for somebody else: each who raises one adds to its traceback."""
    return type(error)(*error.args)


def _carried_out(
    database: Database, rows: Sequence[Write], task: Task | None
) -> tuple[Any, StoreError | None]:
    """Return what the task returned, or what went wrong."""
    try:
        if rows:
            database.write(rows)
        with database.explaining():
            return (task(database) if task else None), None
    except StoreError as error:
        return None, error
    except Exception as error:  # noqa: BLE001  the top of the writer: nobody may wait for ever
        return None, StoreError(f"store {database.path}: {type(error).__name__}: {error}")


class _Group(NamedTuple):
    """What goes into one transaction, and who waits for it."""

    rows: list[Write]
    asks: list[_Ask]


class ThreadWriter:
    """Works on a thread of its own; what waits is gathered in the event loop.

    The thread is woken once for a whole group: each waking costs more than a row.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows: list[Write] = []
        self._asks: list[_Ask] = []
        self._timer: asyncio.TimerHandle | None = None
        self._ended: StoreError | None = None  # why callers are refused
        self._broken: StoreError | None = None  # why the thread writes nothing more
        self._groups: SimpleQueue[_Group | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="imbot-store", daemon=True)
        self._thread.start()

    def note(self, rows: Sequence[Write]) -> None:
        """Take rows that nobody waits for."""
        self._refuse_if_ended()
        if self._timer is None and not self._asks:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(NOTE_DELAY_S, self._hand_over)
        self._rows.extend(rows)

    async def carry_out(self, task: Task | None, rows: Sequence[Write] = ()) -> Any:  # noqa: ANN401  what the task returns
        """Write these rows and all before, then return what the task returns."""
        self._refuse_if_ended()
        loop = asyncio.get_running_loop()
        if not self._asks:
            loop.call_soon(self._turn, loop, TURNS)
        self._rows.extend(rows)
        ask = _Ask(task, loop.create_future())
        self._asks.append(ask)
        return await ask.future

    async def close(self) -> None:
        """Write what waits and close the database."""
        if self._ended is _CLOSED:
            return
        self._refuse_if_ended()
        self._ended = _CLOSED
        ask = _Ask(Database.close, asyncio.get_running_loop().create_future())
        self._asks.append(ask)
        self._hand_over()
        self._groups.put(None)
        await ask.future
        self._thread.join()

    def abandon(self) -> None:
        """Close the database as a crash would; a transaction under way may still take place."""
        self._ended = self._broken = _CLOSED
        self._hand_over()
        self._groups.put(None)
        self._thread.join()

    def _refuse_if_ended(self) -> None:
        if self._ended:
            raise _again(self._ended)

    def _turn(self, loop: asyncio.AbstractEventLoop, left: int) -> None:
        """Hand the group over once the loop has turned so many times."""
        if left:
            loop.call_soon(self._turn, loop, left - 1)
        else:
            self._hand_over()

    def _hand_over(self) -> None:
        """Give the thread everything that waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._rows or self._asks:
            self._groups.put(_Group(self._rows, self._asks))
            self._rows, self._asks = [], []

    # On the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        while group := self._next_group():
            self._work(*group)
        self._database.close()

    def _next_group(self) -> _Group | None:
        """Return all that was handed over, once there is anything; None when nothing will be."""
        group = self._groups.get()
        while group is not None and not self._groups.empty():
            more = self._groups.get()
            if more is None:
                self._groups.put(None)
                break
            group.rows.extend(more.rows)
            group.asks.extend(more.asks)
        return group

    def _work(self, rows: list[Write], asks: list[_Ask]) -> None:
        error = self._broken or _carried_out(self._database, rows, None)[1]
        for ask in asks:
            if ask.task and not error:
                ask.result, error = _carried_out(self._database, (), ask.task)
            ask.error = error
        if error:
            self._ended = self._broken = error
        _resolve_all(asks)


def _resolve_all(asks: list[_Ask]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[_Ask]] = defaultdict(list)
    for ask in asks:
        by_loop[ask.future.get_loop()].append(ask)
    for loop, waiting in by_loop.items():
        # A loop that is closed has nobody left who waits.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_resolve, waiting)


def _resolve(asks: list[_Ask]) -> None:
    for ask in asks:
        ask.resolve()


class InlineWriter:
    """Works in the caller's turn of the event loop: deterministic, for virtual time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows: list[Write] = []
        self._ended: StoreError | None = None

    def note(self, rows: Sequence[Write]) -> None:
        """Take rows that nobody waits for."""
        self._refuse_if_ended()
        if not self._rows:
            asyncio.get_running_loop().call_later(NOTE_DELAY_S, self._write_noted)
        self._rows.extend(rows)

    async def carry_out(self, task: Task | None, rows: Sequence[Write] = ()) -> Any:  # noqa: ANN401  what the task returns
        """Write these rows and all before, then return what the task returns."""
        self._refuse_if_ended()
        self._rows.extend(rows)
        result = self._work(task)
        self._refuse_if_ended()
        return result

    async def close(self) -> None:
        """Write what waits and close the database."""
        if self._ended is _CLOSED:
            return
        await self.carry_out(None)
        self.abandon()

    def abandon(self) -> None:
        """Close the database as a crash would: what is not written is lost."""
        self._ended = _CLOSED
        self._rows = []
        self._database.close()

    def _write_noted(self) -> None:
        if not self._ended:
            self._work(None)

    def _work(self, task: Task | None) -> Any:  # noqa: ANN401  what the task returns
        rows, self._rows = self._rows, []
        result, self._ended = _carried_out(self._database, rows, task)
        if self._ended:
            self._database.close()
        return result

    def _refuse_if_ended(self) -> None:
        if self._ended:
            raise _again(self._ended)
