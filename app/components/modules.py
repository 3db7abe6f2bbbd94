"""ES modules as one module: what the browser gets inline, with no build step and no second request.

The files stay plain modules (one `import { a, b } from "./x.js";` a line, `export` before a declaration), so Node and
a browser can also load them as they are. A neighbouring folder's files are shared by `from "../folder_assets/x.js"`;
of a plain script there (no `export` in it) every declaration at its top level can be imported.
"""

from __future__ import annotations

import re
from pathlib import Path

IMPORT = re.compile(r'^import \{([^}]*)\} from "((?:\./|\.\./\w+/)[\w-]+\.js)";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const|let) (\w+))", re.MULTILINE)
DECLARED = re.compile(r"^(?:async )?(?:function|class|const|let) (\w+)", re.MULTILINE)
DEFAULT = "export default "


def bundle(entry: Path) -> str:
    """The entry module with everything it imports, each file once and in a scope of its own.

    Args:
        entry: path of the module whose default export the component calls.

    Raises:
        ValueError: modules that import each other in a circle, an import that no rule above covers, or a missing
            default export.
    """
    parts: dict[Path, str] = {}
    _collect(entry.resolve(), parts, ())
    *needed, (_, last) = parts.items()
    if last.count(DEFAULT) != 1:
        raise ValueError(f"{entry.name} must have one default export")
    return "\n".join([*(_scope(path, source, entry) for path, source in needed), last])


def _collect(path: Path, parts: dict[Path, str], above: tuple[Path, ...]) -> None:
    if path in above:
        raise ValueError(f"modules import each other in a circle: {' > '.join(p.name for p in [*above, path])}")
    if path in parts:
        return
    source = path.read_text(encoding="utf-8")
    entry = above[0] if above else path
    for _, needed in IMPORT.findall(source):
        _collect((path.parent / needed).resolve(), parts, (*above, path))

    def taken(found: re.Match[str]) -> str:
        return f"const {{{found[1]}}} = {_variable((path.parent / found[2]).resolve(), entry)};\n"

    text = IMPORT.sub(taken, source)
    if re.search(r"^\s*import\b", text, re.MULTILINE):
        raise ValueError(f'{path.name} has an import that is not of the form: import {{ a }} from "./x.js";')
    parts[path] = text


def _scope(path: Path, source: str, entry: Path) -> str:
    exported = ", ".join(EXPORT.findall(source) or DECLARED.findall(source))
    body = EXPORT.sub("", source)
    return f"const {_variable(path, entry)} = (() => {{\n{body}\nreturn {{ {exported} }};\n}})();"


def _variable(path: Path, entry: Path) -> str:
    """Name of the constant that holds the module: by its file, and by its folder where that is another one."""
    name = path.name if path.parent == entry.resolve().parent else f"{path.parent.name}/{path.name}"
    return "module_" + re.sub(r"\W", "_", name.removesuffix(".js"))
