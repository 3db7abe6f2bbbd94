"""ES modules of a folder as one module: what the browser gets inline, with no build step and no second request.

The files stay plain modules (one `import { a, b } from "./x.js";` a line, `export` before a declaration), so Node and
a browser can also load them as they are.
"""

from __future__ import annotations

import re
from pathlib import Path

IMPORT = re.compile(r'^import \{([^}]*)\} from "\./([\w-]+\.js)";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const|let) (\w+))", re.MULTILINE)
DEFAULT = "export default "


def bundle(entry: Path) -> str:
    """The entry module with everything it imports from its folder, each file once and in a scope of its own.

    Args:
        entry: path of the module whose default export the component calls.

    Raises:
        ValueError: modules that import each other in a circle, an import that no rule above covers, or a missing
            default export.
    """
    parts: dict[str, str] = {}
    _collect(entry, parts, ())
    *needed, (_, last) = parts.items()
    if last.count(DEFAULT) != 1:
        raise ValueError(f"{entry.name} must have one default export")
    return "\n".join([*(_scope(name, source) for name, source in needed), last])


def _collect(path: Path, parts: dict[str, str], above: tuple[str, ...]) -> None:
    if path.name in above:
        raise ValueError(f"modules import each other in a circle: {' > '.join([*above, path.name])}")
    if path.name in parts:
        return
    source = path.read_text(encoding="utf-8")
    for _, needed in IMPORT.findall(source):
        _collect(path.with_name(needed), parts, (*above, path.name))
    text = IMPORT.sub(lambda found: f"const {{{found[1]}}} = {_variable(found[2])};\n", source)
    if re.search(r"^\s*import\b", text, re.MULTILINE):
        raise ValueError(f'{path.name} has an import that is not of the form: import {{ a }} from "./x.js";')
    parts[path.name] = text


def _scope(name: str, source: str) -> str:
    exported = ", ".join(EXPORT.findall(source))
    return f"const {_variable(name)} = (() => {{\n{EXPORT.sub('', source)}\nreturn {{ {exported} }};\n}})();"


def _variable(name: str) -> str:
    return "module_" + re.sub(r"\W", "_", name.removesuffix(".js"))
