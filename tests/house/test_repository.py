"""What is in git fits every machine: no address to download from, no path of somebody's home."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: Written so that this file does not match itself.
REFUSED = re.compile(
    r"""
      --(?:extra-)?index-[u]rl\b
    | --find-[l]inks\b
    | ^\s*(?:extra-)?index-[u]rl\s*=
    | ^\s*[r]egistry\s*=
    | "resolved"\s*:\s*"[h]ttp
    | [f]iles\.pythonhosted\.org
    | [r]egistry\.npmjs\.org
    | [p]ypi\.org/simple
    | (?<![\w.])/(?:home|Users|work|root|opt)/\w
    """,
    re.MULTILINE | re.VERBOSE,
)


def refused_lines(text: str) -> list[str]:
    """Return what in a text belongs to one machine or one index."""
    return [match.group() for match in REFUSED.finditer(text)]


def test_no_file_in_git_names_an_index_or_a_machine():
    """An address in a lock file decides for others where their packages come from."""
    listing = subprocess.run(
        ["git", "ls-files", "-z"],  # noqa: S607  # whichever git the developer has
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listing.returncode != 0:
        pytest.skip("not a git checkout, so there is no list of files")
    paths = [ROOT / name for name in listing.stdout.decode().split("\0") if name]
    texts = {path: path.read_text(errors="replace") for path in paths if path.is_file()}
    found = {str(path.relative_to(ROOT)): refused_lines(text) for path, text in texts.items()}

    assert {path: lines for path, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "line",
    [
        "--extra-index-" + "url https://pypi.example/simple",
        "registry" + "=https://npm.example/",
        '"resolved"' + ': "https://npm.example/faye.tgz"',
        "cd /ho" + "me/robin/imbot",
    ],
)
def test_addresses_and_machine_paths_are_found(line):
    """The check above must be able to fail."""
    assert refused_lines(line)


@pytest.mark.parametrize(
    "line", ["uv pip compile --no-emit-index-url", "GET /me/im-sessions", "url: https://x/home/7"]
)
def test_what_only_looks_alike_is_left_alone(line):
    """A check that cries at everything is switched off."""
    assert refused_lines(line) == []
