"""yaml-language-server as an editor uses it: started, asked over stdio, stopped.

Speaks the Language Server Protocol 3.17, as far as the tests need it: a file is opened, and the
server says what is wrong in it, what may stand at a place, and what something means.
"""

import asyncio
import json
import os
from pathlib import Path
from typing import Any, Self

from tests.wire.foreign import program

EDITOR = Path(__file__).parent
SERVER = EDITOR / "node_modules" / "yaml-language-server" / "bin" / "yaml-language-server"
ANSWER_LIMIT_S = 20.0
STOP_LIMIT_S = 5.0

#: What an editor is set to: no schema but the one that a file names.
SETTINGS = {
    "validate": True,
    "completion": True,
    "hover": True,
    "schemaStore": {"enable": False, "url": ""},
}

Json = dict[str, Any]


class LanguageServer:
    """One running server."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._process: asyncio.subprocess.Process | None = None
        self._asked = 0

    async def __aenter__(self) -> Self:
        """Start it in a folder and tell it what the editor can do."""
        self._process = await asyncio.create_subprocess_exec(
            program("node"),
            str(SERVER),
            "--stdio",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await self.ask(
            "initialize", processId=os.getpid(), rootUri=self._root.as_uri(), capabilities={}
        )
        self._tell("initialized")
        self._tell("workspace/didChangeConfiguration", settings={"yaml": SETTINGS})
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ask it to end, as editors do; end it where it does not."""
        process = self._running
        await self.ask("shutdown")
        self._tell("exit")
        try:
            async with asyncio.timeout(STOP_LIMIT_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    @property
    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise RuntimeError("the language server is not started")
        return self._process

    # What an editor asks.

    async def diagnose(self, path: Path, text: str) -> list[tuple[int, str]]:
        """Open a file; return what is wrong in it: the number of the line, from 1, and why."""
        uri = path.as_uri()
        document = {"uri": uri, "languageId": "yaml", "version": 1, "text": text}
        self._tell("textDocument/didOpen", textDocument=document)
        while True:
            message = await self._next()
            if message.get("method") != "textDocument/publishDiagnostics":
                continue
            if message["params"]["uri"] == uri:
                found = message["params"]["diagnostics"]
                return [(each["range"]["start"]["line"] + 1, each["message"]) for each in found]

    async def complete(self, path: Path, text: str) -> dict[str, str]:
        """Open a file in which ``^`` is where the author types; return the offered words.

        Each with what the editor shows about it.
        """
        before, _, after = text.partition("^")
        await self.diagnose(path, before + after)
        answer = await self.ask("textDocument/completion", **_at(path, before))
        items = answer["items"] if isinstance(answer, dict) else answer
        return {each["label"]: str(each.get("documentation", "")) for each in items}

    async def hover(self, path: Path, text: str) -> str:
        """Open a file in which ``^`` is where the mouse rests; return what is shown there."""
        before, _, after = text.partition("^")
        await self.diagnose(path, before + after)
        answer = await self.ask("textDocument/hover", **_at(path, before))
        return str(answer["contents"]["value"])

    # The protocol.

    async def ask(self, method: str, **params: object) -> Any:
        """Send a request and return its result.

        Raises:
            RuntimeError: The server refused it, or ended.
            TimeoutError: It does not answer.
        """
        self._asked += 1
        number = self._asked
        self._send({"id": number, "method": method, "params": params})
        while True:
            message = await self._next()
            if message.get("id") == number and "method" not in message:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]

    def _tell(self, method: str, **params: object) -> None:
        self._send({"method": method, "params": params})

    def _send(self, message: Json) -> None:
        content = json.dumps({"jsonrpc": "2.0", **message}).encode()
        stdin = self._running.stdin
        if stdin is None:
            raise RuntimeError("the language server was started without a pipe")
        stdin.write(b"Content-Length: %d\r\n\r\n" % len(content) + content)

    async def _next(self) -> Json:
        """Return the next message; what the server asks of the editor is answered."""
        async with asyncio.timeout(ANSWER_LIMIT_S):
            message = await self._read()
        if "method" in message and "id" in message:
            self._send({"id": message["id"], "result": _of_editor(message)})
        return message

    async def _read(self) -> Json:
        stdout = self._running.stdout
        if stdout is None:
            raise RuntimeError("the language server was started without a pipe")
        try:
            head = await stdout.readuntil(b"\r\n\r\n")
            fields = dict(line.split(b": ") for line in head.splitlines() if line)
            return dict(json.loads(await stdout.readexactly(int(fields[b"Content-Length"]))))
        except asyncio.IncompleteReadError as error:
            raise RuntimeError("the language server ended") from error


def _of_editor(request: Json) -> object:
    """Return what an editor answers: its settings, or nothing."""
    if request["method"] != "workspace/configuration":
        return None
    asked = request["params"]["items"]
    return [SETTINGS if item.get("section") == "yaml" else {} for item in asked]


def _at(path: Path, before: str) -> Json:
    """Return the place behind a text."""
    lines = before.split("\n")
    position = {"line": len(lines) - 1, "character": len(lines[-1])}
    return {"textDocument": {"uri": path.as_uri()}, "position": position}
