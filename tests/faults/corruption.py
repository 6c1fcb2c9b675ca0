"""Stores of real lives, damaged as disks and people damage them, and a judge of what comes of it.

Nothing may be acted on that is not as imbot wrote it: a damaged store is refused, or what is
damaged goes into quarantine with the safe consequence, or the damage is where nothing is.
"""

import asyncio
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from imbot.errors import StoreError
from imbot.records import EffectState, Recovered
from imbot.store.connection import Database
from imbot.store.database import open_store
from imbot.store.recovery import recover
from imbot.testing.time import LoopClock
from imbot.testing.virtual_loop import VirtualLoop
from tests.flow.stage import MONDAY_NOON, staged

NAME = "imbot.db"
URL = f"sqlite:///{NAME}"

RULES = """
version: 1
rules:
  - id: greet
    trigger: {state: Talking}
    once: session
    do:
      - reply: "Good day {{ participant.phoneNumber }}"
      - set: {greeted: "yes"}
  - id: answer
    trigger: {message: any}
    do:
      - reply: "You said: {{ message.text }}"
  - id: later
    trigger: {message: {contains: wait}}
    once: session
    do:
      - wait: 300s
      - reply: "Are you still there?"
"""

#: What a run is doing, or may have done, when nothing goes on with it.
_OVER = {EffectState.PARKED, EffectState.CANCELLED, EffectState.EXPIRED}


@dataclass(frozen=True)
class Life:
    """A store as one life of imbot left it, and what a start reads in it."""

    folder: Path
    found: Recovered
    marks: frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Verdict:
    """What came of one damage: ``refused``, ``mended``, ``harmless``, or what is wrong."""

    seed: int
    damage: str
    outcome: str
    violation: str = ""


# Lives ----------------------------------------------------------------------------------------


def lives(folder: Path) -> list[Life]:
    """Let imbot live some lives in this folder, and return what each left."""
    made = []
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        for number, (sessions, is_killed) in enumerate([(6, True), (12, True), (8, False)]):
            own = folder / f"life{number}"
            own.mkdir()
            runner.run(_live(own, sessions, is_killed=is_killed, seed=number))
            made.append(_read(own))
    return made


async def _live(folder: Path, sessions: int, *, is_killed: bool, seed: int) -> None:
    users = [f"bot{number}" for number in range(1, sessions + 1)]
    async with staged(folder, users=users, seed=seed) as stage:
        imbot = await stage.start(RULES, users=users)
        calls = []
        for place, user in enumerate(users):
            call = stage.ring(f"300{place}", user)
            calls.append(call)
            await stage.seconds(2)
            for line in range(seed + 2):
                call.say(f"line {line} of {place}" + " please wait" * (place % 2))
                await stage.seconds(1)
        for call in calls[::3]:
            call.hang_up()
        await stage.seconds(5)
        calls[-1].say("what came last")
        await stage.seconds(0.02)
        if not is_killed:
            await imbot.stop()
            return
        # SQLite would put its log into the file when the last one closes it; a kill does not.
        holder = sqlite3.connect(folder / NAME)
        holder.execute("SELECT count(*) FROM events").fetchone()
        holder.execute("BEGIN")
        holder.execute("SELECT count(*) FROM events").fetchone()
        imbot.kill()
        for name in (NAME, f"{NAME}-wal", f"{NAME}.tip"):
            shutil.copy(folder / name, folder / f"{name}.kept")
        holder.close()
    for name in (NAME, f"{NAME}-wal", f"{NAME}.tip"):
        shutil.move(folder / f"{name}.kept", folder / name)


def _read(folder: Path) -> Life:
    """Return a life with what a start reads in it, as long as nothing is damaged."""
    copy = folder / "copy"
    _copy(folder, copy)
    database = Database(str(copy / NAME))
    pairs = database.connection.exec_driver_sql("SELECT rule_id, scope FROM once_marks").all()
    found = recover(database.connection, MONDAY_NOON)
    database.close()
    shutil.rmtree(copy)
    return Life(folder, found, frozenset((rule, scope) for rule, scope in pairs))


def _copy(life: Path, to: Path) -> None:
    to.mkdir(parents=True)
    for name in (NAME, f"{NAME}-wal", f"{NAME}.tip"):
        if (life / name).exists():
            shutil.copy(life / name, to / name)


# Damages --------------------------------------------------------------------------------------


def _flip(path: Path, chance: Random, times: int) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(times):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def _flip_text(path: Path, chance: Random, _times: int = 1) -> None:
    """Flip a bit of what is in rows, where most of the bits are no structure."""
    content = bytearray(path.read_bytes())
    places = [at for at, byte in enumerate(content) if chr(byte).isalnum()]
    content[chance.choice(places)] ^= 1 << chance.randrange(5)
    path.write_bytes(content)


def _truncate(path: Path, chance: Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: chance.randrange(len(content))])


def _zero_page(path: Path, chance: Random) -> None:
    content = bytearray(path.read_bytes())
    page = chance.randrange(max(len(content) // 4096, 1))
    content[page * 4096 : (page + 1) * 4096] = bytes(4096)
    path.write_bytes(content)


def _swap_pages(path: Path, chance: Random) -> None:
    """Let a page hold what another one should: a write that went astray."""
    content = bytearray(path.read_bytes())
    one, other = (chance.randrange(max(len(content) // 4096, 1)) for _ in range(2))
    content[one * 4096 : (one + 1) * 4096] = content[other * 4096 : (other + 1) * 4096]
    path.write_bytes(content)


def _garbage(path: Path, chance: Random) -> None:
    content = bytearray(path.read_bytes())
    at, length = chance.randrange(len(content)), chance.randrange(1, 600)
    content[at : at + length] = chance.randbytes(len(content[at : at + length]))
    path.write_bytes(content)


def damage(folder: Path, chance: Random) -> str:
    """Damage the store in a folder in one way; return which."""
    files: list[Path] = [folder / NAME]
    if (wal := folder / f"{NAME}-wal").exists():
        # The log of a killed life holds nearly all of it.
        files += [wal, wal]
    path = chance.choice(files)
    ways: Sequence[tuple[str, Callable[[], None]]] = [
        ("one bit flipped", lambda: _flip(path, chance, 1)),
        ("one bit of a word flipped", lambda: _flip_text(path, chance)),
        ("one bit of a word flipped", lambda: _flip_text(path, chance)),
        ("some bits flipped", lambda: _flip(path, chance, chance.randrange(2, 40))),
        ("cut off", lambda: _truncate(path, chance)),
        ("a page zeroed", lambda: _zero_page(path, chance)),
        ("a page in another's place", lambda: _swap_pages(path, chance)),
        ("a stretch of garbage", lambda: _garbage(path, chance)),
        ("removed", path.unlink) if path == wal else ("emptied", lambda: path.write_bytes(b"")),
    ]
    name, carry_out = chance.choice(ways)
    carry_out()
    return f"{path.name}: {name}"


# Judging --------------------------------------------------------------------------------------


def play(life: Life, folder: Path, seed: int) -> Verdict:
    """Damage a copy of a life, start on it, and judge."""
    chance = Random(seed)
    _copy(life.folder, folder)
    if chance.random() < 0.5:
        _checkpoint(folder)
    told = damage(folder, chance)
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        try:
            outcome, violation = runner.run(_start(life, folder))
        except Exception as error:  # noqa: BLE001  whatever it is, imbot would have ended with it
            outcome, violation = "crashed", f"{type(error).__name__}: {error}"
    return Verdict(seed, told, outcome, violation)


def _checkpoint(folder: Path) -> None:
    """Let the log be in the file, as it is after a while: then damage meets rows, not the log."""
    connection = sqlite3.connect(folder / NAME)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


async def _start(life: Life, folder: Path) -> tuple[str, str]:
    clock = LoopClock(MONDAY_NOON)
    try:
        store = open_store(URL, clock=clock, base=folder, executor="inline")
    except StoreError:
        return "refused", ""
    found = await store.recover(MONDAY_NOON)
    set_now = await store.marked(sorted(life.marks))
    bad = store.condition.quarantined
    await store.close()
    if missing := life.marks - set_now.keys():
        return "wrong", f"marks that are not set any more: {sorted(missing)}"
    if bad:
        return "mended", _unsafe(life.found, found)
    return ("harmless", "") if life.found == found else ("wrong", "read as if it were right")


def _unsafe(before: Recovered, now: Recovered) -> str:
    """Return what would be done that must not be, or is left out without a word."""
    effects = {each.intent.effect_id: each for each in now.effects}
    was = {run.run_id: run for run, _ in before.runs}
    for run, _ in now.runs:
        if was.get(run.run_id) != run:
            return f"{run.run_id} goes on from where it never stood"
        for each in before.effects:
            if each.intent.run_id == run.run_id and effects.get(each.intent.effect_id) != each:
                return f"{run.run_id} goes on and has forgotten {each.intent.effect_id}"
    known = {each.intent.effect_id: each for each in before.effects}
    for effect_id, each in effects.items():
        if known.get(effect_id) != each and each.state not in _OVER:
            return f"{effect_id} is {each.state}, and was not"
    events = {each.id: each for each in before.events}
    for each in now.events:
        if events.get(each.id) != each:
            return f"the event {each.id} is not as it was"
    return ""


def campaign(
    folder: Path, count: int, *, first: int = 1, tell: Callable[[str], None] = lambda _: None
) -> tuple[Counter[str], list[Verdict]]:
    """Damage so many stores; return what came of them, and what went wrong."""
    made = lives(folder)
    outcomes: Counter[str] = Counter()
    wrong = []
    for seed in range(first, first + count):
        own = folder / f"damaged{seed}"
        verdict = play(made[seed % len(made)], own, seed)
        shutil.rmtree(own)
        outcomes[verdict.outcome] += 1
        if verdict.violation:
            wrong.append(verdict)
            tell(f"seed {seed}: {verdict.damage}: {verdict.outcome}: {verdict.violation}")
    return outcomes, wrong
