"""Every command with its options; what a command does is in a module of its own."""

import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Literal

import typer

from imbot import __version__
from imbot.cli import EXIT_CODES, EXIT_STORE
from imbot.cli.formats import Format, Shape
from imbot.errors import ConfigError, ImbotError, RulebookError, StoreError

cli = typer.Typer(
    name="imbot",
    help="Rule-driven bots for the instant-message sessions of Genesys Web Services.",
    epilog="Exit codes: " + "; ".join(f"{code} {told}" for code, told in EXIT_CODES.items()) + ".",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Settings file; ./imbot.yaml without it.", dir_okay=False),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", help="A setting, section.key=value; over file and environment."),
]
FormatOption = Annotated[
    Format, typer.Option("--format", help="For people, or JSON lines for programs.")
]
ShapeOption = Annotated[
    Shape, typer.Option("--format", help="For people, for programs, or for a change on GitHub.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON lines, one for each row.")]


def _tell_version(asked: bool) -> None:
    """Print the version and end, where somebody asks as programs are commonly asked."""
    if asked:
        version()
        raise typer.Exit


@cli.callback()
def imbot(
    *,
    _version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_tell_version, is_eager=True),
    ] = False,
) -> None:
    """Take the options that stand before a command."""


@cli.command()
def run(
    config: ConfigOption = None,
    settings: SetOption = None,
    safe_mode: Annotated[
        bool,
        typer.Option("--safe-mode", help="Serve /health and act on nothing until a reload."),
    ] = False,
) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    from imbot.cli import running

    raise typer.Exit(running.run(config, settings or (), safe_mode=safe_mode))


@cli.command()
def demo(
    seconds: Annotated[
        float | None, typer.Option(help="End after so many seconds, with a summary.", min=1)
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides what the parties say.")] = 0,
    port: Annotated[
        int, typer.Option(help="Port of the chat page; 0 for any.", min=0, max=65535)
    ] = 0,
    admin_port: Annotated[
        int | None,
        typer.Option(
            help="Port to look inside and steer; without, 8081, or any where that is taken.",
            min=0,
            max=65535,
        ),
    ] = None,
) -> None:
    """Show a bot at work: simulator, daemon, shipped rules, a few talkative parties."""
    from imbot.cli import demo as live

    raise typer.Exit(live.demo(seconds=seconds, seed=seed, port=port, admin_port=admin_port))


@cli.command()
def simulate(
    port: Annotated[
        int, typer.Option(help="Port to listen on; 0 for any.", min=0, max=65535)
    ] = 8090,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    agents: Annotated[int, typer.Option(help="How many agents there are.", min=1)] = 3,
    strict: Annotated[
        bool, typer.Option(help="Refuse what GWS documents as mandatory and is missing.")
    ] = True,
    csrf: Annotated[bool, typer.Option(help="Ask for CSRF tokens.")] = True,
    ack: Annotated[bool, typer.Option(help="Offer the acknowledgement extension.")] = True,
    parties: Annotated[int, typer.Option(help="Random other parties that ring.", min=0)] = 0,
    crm_port: Annotated[
        int | None,
        typer.Option(help="Also be a small CRM, on this port; 0 for any.", min=0, max=65535),
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides all chance.")] = 0,
) -> None:
    """Be a GWS: REST, CometD, and a page on which to play the other party."""
    from imbot.cli import simulating
    from imbot.simulator import SimulatorSettings

    accounts = simulating.accounts(agents)
    deployment = SimulatorSettings(
        agents=accounts, host=host, port=port, strict=strict, csrf=csrf, ack=ack, seed=seed
    )
    raise typer.Exit(simulating.simulate(deployment, parties=parties, crm_port=crm_port))


@cli.command()
def doctor(
    config: ConfigOption = None,
    settings: SetOption = None,
    agent: Annotated[
        list[str] | None,
        typer.Option(help="Only this agent; again for more. All without, but of a running imbot."),
    ] = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Look at all that imbot stands on, GWS and each agent's login too, and name the cures."""
    from imbot.cli import doctor as looking

    raise typer.Exit(looking.examine(config, settings or (), agents=agent or (), form=form))


@cli.command()
def check(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Rule files and folders; the settings' without.")
    ] = None,
    config: ConfigOption = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as errors.")] = False,
    form: ShapeOption = "text",
) -> None:
    """Find every mistake in rule files, each with its place and the cure."""
    from imbot.cli import checking

    raise typer.Exit(checking.check(paths or [], config, strict=strict, shape=form))


@cli.command(name="test")
def play_tests(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Test files, folders that hold some, and rules for tests of no rules."),
    ] = None,
    config: ConfigOption = None,
    word: Annotated[
        str, typer.Option("-k", metavar="WORD", help="Only tests whose name or file holds it.")
    ] = "",
    coverage: Annotated[
        bool, typer.Option("--coverage", help="Tell what conditions were never true, never false.")
    ] = False,
    junit: Annotated[
        Path | None, typer.Option(help="Write JUnit XML here, too.", dir_okay=False)
    ] = None,
    form: ShapeOption = "text",
) -> None:
    """Play the tests of rules (*.test.yaml) in virtual time: the same every time."""
    from imbot.cli import testing

    raise typer.Exit(
        testing.run(paths or [], config, word=word, coverage=coverage, junit=junit, shape=form)
    )


@cli.command(name="config")
def show_config(config: ConfigOption = None, settings: SetOption = None) -> None:
    """Print the settings in force, secrets masked."""
    from imbot.cli import showing

    raise typer.Exit(showing.config(config, settings or ()))


@cli.command()
def plugins(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the plugins, each with its status and the reason."""
    from imbot.cli import showing

    raise typer.Exit(showing.plugins(config, as_json=as_json))


@cli.command()
def rules(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the rules in the order in which they are looked at."""
    from imbot.cli import showing

    raise typer.Exit(showing.rules(config, as_json=as_json))


@cli.command()
def sessions(
    session: Annotated[str | None, typer.Argument(help="A session id, for its timeline.")] = None,
    config: ConfigOption = None,
    agent: Annotated[str | None, typer.Option(help="Only this agent's.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many, the newest first.", min=1)] = 50,
    as_json: JsonOption = False,
) -> None:
    """Show what sessions there are and were, with parked replies and gaps, from the store."""
    from imbot.cli import sessions as stored

    raise typer.Exit(stored.sessions(session, config, agent=agent, limit=limit, as_json=as_json))


@cli.command()
def parked(
    deed: Annotated[
        Literal["list", "show", "resend", "drop"],
        typer.Argument(help="What to do; the last two are orders to the imbot of this store."),
    ] = "list",
    ids: Annotated[
        list[str] | None, typer.Argument(help="Ids of parked effects, as `list` tells them.")
    ] = None,
    config: ConfigOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the effects that wait for a person, send one again, or give it up for good."""
    from imbot.cli import parked as waiting

    raise typer.Exit(waiting.parked(deed, ids or [], config, settings or (), as_json=as_json))


@cli.command()
def store(
    deed: Annotated[  # noqa: ARG001  there is one so far
        Literal["check"], typer.Argument(help="What to do: `check` looks whether it is sound.")
    ],
    config: ConfigOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look whether all in the store is as imbot wrote it, and show what is in quarantine."""
    from imbot.cli import store as kept

    raise typer.Exit(kept.check(config, settings or (), as_json=as_json))


@cli.command()
def backup(
    copy: Annotated[Path, typer.Argument(help="The file to write; nothing may be there.")],
    config: ConfigOption = None,
    settings: SetOption = None,
) -> None:
    """Copy the store while imbot runs or not, and check every row of the copy."""
    from imbot.cli import copying

    raise typer.Exit(copying.backup(copy, config, settings or ()))


@cli.command()
def erase(
    number: Annotated[
        str | None, typer.Option(help="Everything of this phone number, however it is written.")
    ] = None,
    session: Annotated[str | None, typer.Option(help="Everything of this session.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: ConfigOption = None,
    settings: SetOption = None,
) -> None:
    """Erase what the store keeps of a number or a session, with imbot stopped."""
    from imbot.cli import erasing

    raise typer.Exit(erasing.erase(number, session, config, settings or (), is_sure=yes))


@cli.command()
def restore(
    copy: Annotated[Path, typer.Argument(help="What `imbot backup` wrote.")],
    config: ConfigOption = None,
    settings: SetOption = None,
) -> None:
    """Put a copy in the place of the store, with imbot stopped; nothing is said twice for it."""
    from imbot.cli import copying

    raise typer.Exit(copying.put_back(copy, config, settings or ()))


@cli.command()
def explain(
    event_file: Annotated[
        Path | None, typer.Argument(help="An event as JSON, such as `imbot record` writes.")
    ] = None,
    event: Annotated[str | None, typer.Option(help="An event of the store, by its id.")] = None,
    session: Annotated[str | None, typer.Option(help="A session of the store, as a story.")] = None,
    rule: Annotated[str | None, typer.Option(help="Only this rule: why not this one?")] = None,
    rules: Annotated[
        list[Path] | None, typer.Option("--rules", help="Rule files; the settings' without.")
    ] = None,
    form: FormatOption = Format.TEXT,
    config: ConfigOption = None,
) -> None:
    """Say for each rule whether it runs for an event, or why not, with every value that decided."""
    from imbot.cli import explaining

    raise typer.Exit(
        explaining.explain_one(
            event_file, event, session, config, rules=rules or [], rule_id=rule, form=form
        )
    )


@cli.command()
def schema(
    which: Annotated[
        Literal["rules", "test", "settings"] | None,
        typer.Argument(help="Of which files; of all three without."),
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option(help="Write rules.json, test.json, settings.json here.", file_okay=False),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Print the JSON Schema with which editors check and complete rules, tests and settings."""
    from imbot.cli import schema as editors

    raise typer.Exit(editors.schema(which, write, config))


@cli.command()
def new(
    what: Annotated[Literal["bot", "rule", "plugin"], typer.Argument(help="What to begin.")],
    name: Annotated[str, typer.Argument(help="Its name: small letters, digits, - and _.")],
    into: Annotated[
        Path, typer.Option(help="The folder in which to write.", file_okay=False)
    ] = Path(),
) -> None:
    """Write a starting point that passes check and test; nothing is overwritten."""
    from imbot.cli import new as beginning

    raise typer.Exit(beginning.new(what, name, into))


@cli.command()
def record(
    since: Annotated[
        str | None, typer.Option(help="From then: 2026-03-02, 2026-03-02T09:00, or 2h for so long.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Until before then.")] = None,
    session: Annotated[str | None, typer.Option(help="Only this session.")] = None,
    redact: Annotated[
        bool, typer.Option(help="Put pseudonyms for numbers, and for words no rule asks for.")
    ] = True,
    with_texts: Annotated[
        bool,
        typer.Option(
            "--with-texts", help="What is said stays; numbers of parties and in user data do not."
        ),
    ] = False,
    key: Annotated[
        str | None, typer.Option(help="The same pseudonyms in every recording with this key.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Write the events of the store as JSON lines, for `imbot replay` and `imbot explain`."""
    from imbot.cli import recording

    raise typer.Exit(
        recording.record(
            config,
            since=since,
            until=until,
            session_id=session,
            redaction=redact,
            with_texts=with_texts,
            key=key,
        )
    )


@cli.command()
def replay(
    recording_file: Annotated[Path, typer.Argument(help="What `imbot record` wrote.")],
    old: Annotated[
        list[Path] | None, typer.Option(help="Rules to compare with; the settings' without.")
    ] = None,
    new: Annotated[
        list[Path] | None, typer.Option(help="Rules that are compared; the settings' without.")
    ] = None,
    form: FormatOption = Format.TEXT,
    config: ConfigOption = None,
) -> None:
    """Play recorded events through one or two rulebooks without acting; show what differs."""
    from imbot.cli import recording

    raise typer.Exit(
        recording.replay(recording_file, config, old=old or [], new=new or [], form=form)
    )


@cli.command()
def trace(
    session: Annotated[str, typer.Argument(help="A session id.")],
    as_test: Annotated[
        bool, typer.Option("--as-test", help="As a test file; without, as `imbot explain` does.")
    ] = False,
    agent: Annotated[str | None, typer.Option(help="Only this agent's end of it.")] = None,
    config: ConfigOption = None,
) -> None:
    """Write what happened in a session of the store as a test of the rules."""
    from imbot.cli import explaining, tracing

    if as_test:
        raise typer.Exit(tracing.trace(session, config, agent=agent))
    raise typer.Exit(
        explaining.explain_session(session, config, rules=[], rule_id=None, form=Format.TEXT)
    )


@cli.command()
def halt(
    why: Annotated[str, typer.Argument(help="Why, in your words; everybody sees it.")] = "",
    config: ConfigOption = None,
) -> None:
    """Stop all effects of a running imbot at once, queued ones too, over restarts."""
    from imbot.cli import steering

    raise typer.Exit(steering.halt(why, config))


@cli.command()
def release(config: ConfigOption = None) -> None:
    """Let the effects of a running imbot go on after `imbot halt`."""
    from imbot.cli import steering

    raise typer.Exit(steering.release(config))


@cli.command()
def close(
    calendar: Annotated[str, typer.Argument(help="The name of a calendar.")],
    config: ConfigOption = None,
) -> None:
    """Close a calendar of a running imbot, whatever its hours are."""
    from imbot.cli import steering

    raise typer.Exit(steering.close(calendar, config, closed=True))


@cli.command()
def reopen(
    calendar: Annotated[str, typer.Argument(help="The name of a calendar.")],
    config: ConfigOption = None,
) -> None:
    """Let the hours of a calendar count again after `imbot close`."""
    from imbot.cli import steering

    raise typer.Exit(steering.close(calendar, config, closed=False))


@cli.command()
def switch(
    rule: Annotated[str, typer.Argument(help="The id of a rule.")],
    to: Annotated[
        Literal["off", "shadow", "live", "as-written"], typer.Argument(help="How it is to run.")
    ],
    config: ConfigOption = None,
) -> None:
    """Switch a rule of a running imbot off, into shadow, live, or back to what its file says."""
    from imbot.cli import steering

    shadow = {"shadow": True, "live": False}.get(to)
    raise typer.Exit(steering.switch(rule, config, off=to == "off", shadow=shadow))


@cli.command()
def token(
    name: Annotated[str, typer.Argument(help="Who gets it; the audit trail names them so.")],
    role: Annotated[
        Literal["read", "operate", "admin"], typer.Option(help="What it is good for.")
    ] = "read",
) -> None:
    """Make a token for the admin API, and print what stands in the settings for it."""
    from imbot.cli import steering

    raise typer.Exit(steering.token(name, role))


@cli.command()
def version() -> None:
    """Print the version."""
    print(__version__)


def main() -> None:
    """Run the command line; end the process with its exit code."""
    from imbot.cli.output import complain, print_problems

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # what a terminal cannot show is spelled out
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            cli(prog_name="imbot")
        finally:
            sys.stdout.flush()
    except (ConfigError, RulebookError) as error:
        print_problems(error.problems, to_stderr=True)
        sys.exit(1)
    except StoreError as error:
        complain(error)
        sys.exit(EXIT_STORE)
    except ImbotError as error:
        complain(error)
        sys.exit(1)
    except OSError as error:
        _forget_output()
        where = error.filename or "standard output"
        complain(f"{where}: {error.strerror}; make room, or write elsewhere")
        sys.exit(1)


def _forget_output() -> None:
    """Let what could not be written go: Python would try again, and complain, when it ends."""
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123  it is no file
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
