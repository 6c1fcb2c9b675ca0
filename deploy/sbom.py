"""Writes what an installed imbot consists of: ``make sbom``, or ``python deploy/sbom.py FOLDER``.

A CycloneDX bill of materials of imbot with its extra ``fast``, as this environment has it, and with
the files of others that lie in its tree; and a list of the licences. What only developers need is
left out. Nothing is fetched.
"""  # noqa: INP001  a script, not a package

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Final, TypeAlias

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).resolve().parents[1]
NAME: Final = "imbot"
EXTRAS: Final[tuple[str, ...]] = ("", "fast")
#: What CycloneDX calls the thing that everything else is a part of.
_ROOT_REF: Final = "root-component"

#: Names the files of others that lie in the tree, with what they are of.
VENDORED: Final = ROOT / "imbot" / "admin" / "dashboard" / "static" / "vendor" / "README.md"
_FILE: Final = re.compile(
    r"^\| (?P<file>\S+) \| (?P<name>\S+) (?P<version>\S+), \S+ \| (?P<licence>[\w.-]+) "
    r"\| `(?P<sha256>[0-9a-f]{64})` \|$",
    re.MULTILINE | re.ASCII,
)

#: Licences that let imbot be used and passed on as it is, by SPDX; a person looks at any other.
ALLOWED: Final = frozenset(
    {
        *("Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "MPL-2.0"),
        *("PSF-2.0", "Python-2.0", "0BSD", "Unlicense"),
    }
)
#: How packages that name no SPDX id say the same.
_SPELLINGS: Final[Mapping[str, str]] = {
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
    "License :: OSI Approved :: BSD License": "BSD-3-Clause",
    "Dual License": "Apache-2.0",
}

Bom: TypeAlias = dict[str, Any]


def of_environment() -> Bom:
    """Return the bill of materials of all that is installed beside this Python.

    Raises:
        CalledProcessError: It cannot be made; the reason was written to standard error.
    """
    words = ["-m", "cyclonedx_py", "environment", "--pyproject", str(ROOT / "pyproject.toml")]
    # Its own check parses every address of every package, which takes minutes; a test checks ours.
    more = ["--no-validate", "--output-reproducible", "--of", "JSON", "-o", "-", sys.executable]
    done = subprocess.run([sys.executable, *words, *more], check=True, stdout=subprocess.PIPE)  # noqa: S603  our own words
    found: Bom = json.loads(done.stdout)
    return found


def required() -> frozenset[str]:
    """Return the names of all that imbot with its extras needs on this machine, through others too.

    Raises:
        PackageNotFoundError: Something of it is not installed.
    """
    found: set[str] = set()
    coming: list[tuple[str, tuple[str, ...]]] = [(NAME, EXTRAS)]
    while coming:
        name, extras = coming.pop()
        for each in _asked_for(name, extras):
            if (other := canonicalize_name(each.name)) not in found:
                coming.append((other, ("", *each.extras)))
                found.add(other)
    return frozenset(found)


def _asked_for(name: str, extras: Iterable[str]) -> Iterator[Requirement]:
    """Yield what a package with some extras asks for itself, on this machine."""
    for each in map(Requirement, metadata.requires(name) or ()):
        if each.marker is None or any(each.marker.evaluate({"extra": one}) for one in extras):
            yield each


def pruned(bom: Bom, names: Iterable[str], version: str) -> Bom:
    """Return the bill with these packages and nothing else."""
    wanted = frozenset(map(canonicalize_name, names))
    components = [each for each in bom["components"] if canonicalize_name(each["name"]) in wanted]
    kept = {_ROOT_REF, *(each["bom-ref"] for each in components)}
    main = {**bom["metadata"]["component"], "version": version}
    return {
        **bom,
        "metadata": {**bom["metadata"], "component": main},
        "components": components,
        "dependencies": [
            {
                "ref": each["ref"],
                "dependsOn": [ref for ref in each.get("dependsOn", ()) if ref in kept],
            }
            for each in bom["dependencies"]
            if each["ref"] in kept
        ],
    }


def vendored(table: str) -> list[Bom]:
    """Return the components of which files lie in the tree, each with its files and their hashes.

    Args:
        table: As it stands beside the files; a row without a licence is the text of one.
    """
    found: dict[str, Bom] = {}
    for row in _FILE.finditer(table):
        purl = f"pkg:npm/{row['name']}@{row['version']}"
        component = {
            "type": "library",
            "bom-ref": purl,
            "purl": purl,
            "name": row["name"],
            "version": row["version"],
            "licenses": [{"license": {"id": row["licence"]}}],
            "components": [],
        }
        hashes = [{"alg": "SHA-256", "content": row["sha256"]}]
        file = {"type": "file", "name": row["file"], "hashes": hashes}
        found.setdefault(purl, component)["components"].append(file)
    return list(found.values())


def joined(bom: Bom, components: Iterable[Bom]) -> Bom:
    """Return the bill with more components, of which imbot itself consists."""
    more = {each["bom-ref"]: each for each in components}
    return {
        **bom,
        "components": [*bom["components"], *more.values()],
        "dependencies": [
            *(
                {**each, "dependsOn": [*each.get("dependsOn", ()), *more]}
                if each["ref"] == _ROOT_REF
                else each
                for each in bom["dependencies"]
            ),
            *({"ref": ref, "dependsOn": []} for ref in more),
        ],
    }


def licences(component: Mapping[str, Any]) -> list[str]:
    """Return what a component says of its licence, by SPDX where that can be told."""
    found: set[str] = set()
    for each in component.get("licenses", ()):
        licence = each.get("license", {})
        said = each.get("expression") or licence.get("id") or licence.get("name", "")
        found.add(_SPELLINGS.get(said, said))
    return sorted(found)


def refused(bom: Bom) -> Iterator[str]:
    """Yield the components of which nobody has said that their licence is all right."""
    for component in bom["components"]:
        found = licences(component)
        words = {word for each in found for word in re.findall(r"[\w.-]+", each)}
        if not found or not words - {"AND", "OR", "WITH"} <= ALLOWED:
            told = ", ".join(found) or "none is named"
            yield f"{component['name']} {component['version']}: {told}"


def write(into: Path) -> int:
    """Write the bill and the list; return the exit code."""
    installed = pruned(of_environment(), required(), metadata.version(NAME))
    bom = joined(installed, vendored(VENDORED.read_text(encoding="utf-8")))
    into.mkdir(parents=True, exist_ok=True)
    path, listed = into / f"{NAME}.cdx.json", into / "licences.txt"
    path.write_text(json.dumps(bom, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    lines = [f"{c['name']} {c['version']}: {', '.join(licences(c))}" for c in bom["components"]]
    listed.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{path}: {len(lines)} components", listed, sep="\n")  # noqa: T201  it reports
    wrong = [f"licence to be looked at: {each}" for each in refused(bom)]
    print(*wrong, sep="\n", end="\n" if wrong else "", file=sys.stderr)  # noqa: T201  as above
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(write(Path(sys.argv[1])))
