"""ES modules as one module: what the browser gets inline, with no build step and no second request.

The files stay plain modules (one `import { a, b } from "./x.js";` a line, `export` before a declaration), so Node and
a browser can also load them as they are. What several components need lies in `shared_assets`.
"""

from __future__ import annotations

import re
from pathlib import Path

IMPORT = re.compile(r'^import \{([^}]*)\} from "(\.\.?/(?:[\w-]+/)?[\w-]+\.js)";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const|let) (\w+))", re.MULTILINE)
DEFAULT = "export default "
SHARED = Path(__file__).with_name("shared_assets")


def bundle(entry: Path) -> str:
    """The entry module with everything it imports, each file once and in a scope of its own.

    A folder as entry is the one module that its files make, joined in the order of their names.

    Args:
        entry: path of the module, or folder, whose default export the component calls.

    Raises:
        ValueError: modules that import each other in a circle, two of one name, an import that no rule above covers,
            or a missing default export.
    """
    parts: dict[str, tuple[Path, str]] = {}
    _collect(entry.resolve(), parts, ())
    *needed, (_, (_, last)) = parts.items()
    if last.count(DEFAULT) != 1:
        raise ValueError(f"{entry.name} must have one default export")
    return "\n".join([*(_scope(name, source) for name, (_, source) in needed), last])


def stylesheet(*paths: Path) -> str:
    """Style sheets as one."""
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)


def _collect(path: Path, parts: dict[str, tuple[Path, str]], above: tuple[str, ...]) -> None:
    if path.name in above:
        raise ValueError(f"modules import each other in a circle: {' > '.join([*above, path.name])}")
    if path.name in parts:
        if parts[path.name][0] != path:
            raise ValueError(f"two modules are called {path.name}: {parts[path.name][0]} and {path}; rename one")
        return
    files = sorted(path.glob("*.js")) if path.is_dir() else [path]
    source = "\n".join(file.read_text(encoding="utf-8") for file in files)
    for _, needed in IMPORT.findall(source):
        _collect((files[0].parent / needed).resolve(), parts, (*above, path.name))
    text = IMPORT.sub(lambda found: f"const {{{found[1]}}} = {_variable(found[2])};\n", source)
    if re.search(r"^\s*import\b", text, re.MULTILINE):
        raise ValueError(f'{path.name} has an import that is not of the form: import {{ a }} from "./x.js";')
    parts[path.name] = (path, text)


def _scope(name: str, source: str) -> str:
    exported = ", ".join(EXPORT.findall(source))
    return f"const {_variable(name)} = (() => {{\n{EXPORT.sub('', source)}\nreturn {{ {exported} }};\n}})();"


def _variable(name: str) -> str:
    return "module_" + re.sub(r"\W", "_", name.rsplit("/", 1)[-1].removesuffix(".js"))
