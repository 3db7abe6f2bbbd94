"""ES modules as one module: what the browser gets inline, with no build step and no second request.

The files stay plain modules (one `import { a, b } from "./x.js";` a line, `export` before a declaration), so Node and
a browser can also load them as they are. What several components need lies in `shared_assets`; another folder's files
are shared too, and of a plain script (no `export` in it) every declaration at its top level can be imported.
"""

from __future__ import annotations

import re
from pathlib import Path

IMPORT = re.compile(r'^import \{([^}]*)\} from "(\.\.?/(?:[\w-]+/)?[\w-]+\.js)";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const|let) (\w+))", re.MULTILINE)
DECLARED = re.compile(r"^(?:async )?(?:function|class|const|let) (\w+)", re.MULTILINE)
DEFAULT = "export default "
SHARED = Path(__file__).with_name("shared_assets")


def bundle(entry: Path) -> str:
    """The entry module with everything it imports, each file once and in a scope of its own.

    A folder as entry is the one module that its files make, joined in the order of their names.

    Args:
        entry: path of the module, or folder, whose default export the component calls.

    Raises:
        ValueError: modules that import each other in a circle, an import that no rule above covers, or a missing
            default export.
    """
    parts: dict[Path, str] = {}
    _collect(entry.resolve(), parts, ())
    *needed, (_, last) = parts.items()
    if last.count(DEFAULT) != 1:
        raise ValueError(f"{entry.name} must have one default export")
    home = _home(entry.resolve())
    return "\n".join([*(_scope(path, source, home) for path, source in needed), last])


def stylesheet(*paths: Path) -> str:
    """Style sheets as one."""
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)


def _home(path: Path) -> Path:
    """The folder that a module's imports are relative to: its own, where the module is a folder."""
    return path if path.is_dir() else path.parent


def _collect(path: Path, parts: dict[Path, str], above: tuple[Path, ...]) -> None:
    if path in above:
        raise ValueError(f"modules import each other in a circle: {' > '.join(p.name for p in [*above, path])}")
    if path in parts:
        return
    files = sorted(path.glob("*.js")) if path.is_dir() else [path]
    source = "\n".join(file.read_text(encoding="utf-8") for file in files)
    home, first = _home(path), _home(above[0] if above else path)
    for _, needed in IMPORT.findall(source):
        _collect((home / needed).resolve(), parts, (*above, path))

    def taken(found: re.Match[str]) -> str:
        return f"const {{{found[1]}}} = {_variable((home / found[2]).resolve(), first)};\n"

    text = IMPORT.sub(taken, source)
    if re.search(r"^\s*import\b", text, re.MULTILINE):
        raise ValueError(f'{path.name} has an import that is not of the form: import {{ a }} from "./x.js";')
    parts[path] = text


def _scope(path: Path, source: str, home: Path) -> str:
    exported = ", ".join(EXPORT.findall(source) or DECLARED.findall(source))
    return f"const {_variable(path, home)} = (() => {{\n{EXPORT.sub('', source)}\nreturn {{ {exported} }};\n}})();"


def _variable(path: Path, home: Path) -> str:
    """Name of the constant that holds the module: by its file, and by its folder where that is another one."""
    name = path.name if path.parent == home else f"{path.parent.name}/{path.name}"
    return "module_" + re.sub(r"\W", "_", name.removesuffix(".js"))
