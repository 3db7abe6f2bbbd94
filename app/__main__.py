"""Starts the dashboard: `python -m app` or `fssd-app`; `--help` names the options."""

from __future__ import annotations

import argparse
import gc
import importlib
import logging
import os
import socket
import sys
import threading
import time
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

from fssd_core.data.limits import MAX_UPLOAD
from fssd_core.errors import InputError
from fssd_core.models.factories import allow_factories
from fssd_core.models.program_flag import FLAG, allow_programs

MAIN = Path(__file__).with_name("main.py")


def main(argv: Sequence[str] | None = None) -> int:
    """Serves until interrupted; 2 with one clear line on bad options."""
    options = _options(argv)
    if options.data_root is not None and not options.data_root.is_dir():
        print(f"fssd-app: --data-root {options.data_root} is not a folder", file=sys.stderr)
        return 2
    port = options.port or _free_port(options.address)
    if options.data_root is not None:
        os.environ["FSSD_DATA_ROOT"] = str(options.data_root.resolve())
    try:
        allow_factories(options.factory)
    except InputError as error:
        print(f"fssd-app: {error}", file=sys.stderr)
        return 2
    allow_programs(options.allow_exported_programs)
    if options.device is not None:
        os.environ["FSSD_DEVICE"] = options.device
    if options.login is not None:
        os.environ["FSSD_LOGIN"] = options.login
    if options.workers is not None:
        if not 1 <= options.workers <= 64:
            print(f"fssd-app: --workers {options.workers} was given; it is 1 to 64", file=sys.stderr)
            return 2
        os.environ["FSSD_WORKERS"] = str(options.workers)
    url = (
        f"http://localhost:{port}"
        if options.address in ("127.0.0.1", "localhost")
        else f"http://{options.address}:{port}"
    )
    print(f"FSSD Explorer starts at {url}  (stop with Ctrl+C)", flush=True)
    _warm_up()
    _quiet_disconnects()
    if not options.no_browser:
        threading.Thread(target=_open_when_up, args=(url,), daemon=True).start()
    from streamlit import config
    from streamlit.web import bootstrap

    flags = {
        "server.port": port,
        "server.address": options.address,
        "server.headless": True,  # no e-mail prompt; the browser is opened above
        "server.fileWatcherType": "none",
        "server.maxUploadSize": MAX_UPLOAD // 2**20,
        "server.enableXsrfProtection": True,
        "server.enableCORS": True,  # refuses pages of other origins, whatever its name says
        "browser.gatherUsageStats": False,
        "client.toolbarMode": "viewer",
        "runner.postScriptGC": False,  # a full collection after every run took 0.16 s: more than the run itself
        "global.disableWidgetStateDuplicationWarning": True,  # the film's slider sets the checkpoint's list
        "logger.level": "warning",
        "theme.base": None,
    }
    flags = {name: value for name, value in flags.items() if value is not None}
    for name, value in flags.items():
        config.set_option(name, value)
    bootstrap.run(str(MAIN), False, [], {name.replace(".", "_"): value for name, value in flags.items()})
    return 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="fssd-app", description="The FSSD Explorer dashboard.")
    parser.add_argument("--port", type=int, default=None, help="default: 8501, or the next free one")
    parser.add_argument("--address", default="127.0.0.1", help="where to listen; default: this machine only")
    parser.add_argument("--data-root", type=Path, help="folder whose .npz files, image folders and weights are offered")
    parser.add_argument(
        "--factory", action="append", default=[], metavar="PACKAGE.MODULE:FUNCTION",
        help="Python code that builds a network, offered under Model and Architecture; it is run: name your own",
    )  # fmt: skip
    parser.add_argument(
        FLAG, action="store_true",
        help="open .pt2 (torch.export) and TorchScript files as models: they are code (docs/your-own-model.md)",
    )  # fmt: skip
    parser.add_argument("--device", help="cpu, cuda or mps; default: the best there is")
    parser.add_argument("--workers", type=int, help="computing processes at most; default: one for every four cores")
    parser.add_argument(
        "--login", metavar="WHO", nargs="?", const="*",
        help="ask everyone to log in by OpenID Connect (docs/sharing.md); WHO: addresses and @domains, by commas",
    )  # fmt: skip
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser window")
    return parser.parse_args(argv)


def _free_port(address: str) -> int:
    for port in [*range(8501, 8521), 0]:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError(f"no free port at {address}")


def _warm_up() -> None:
    """Imports what the first page needs before the server answers, so that the first visitor does not wait for it."""
    for name in (
        "streamlit",
        "plotly.graph_objects",
        "fssd_core.study_projection",
        "fssd_core.projection",
        "fssd_core.summary",
        "PIL.Image",
    ):
        importlib.import_module(name)
    from fssd_core.data import list_data
    from fssd_core.models import list_models

    list_models()
    list_data()
    gc.collect()
    gc.freeze()  # what was imported stays, so that no later collection looks through it again


def _quiet_disconnects() -> None:
    """Keeps a closed browser tab from printing a traceback: the socket's end is no error."""

    def keep(record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return type(error).__name__ not in ("WebSocketDisconnect", "WebSocketDisconnected")

    for name in ("uvicorn.error", "uvicorn.asgi"):
        logging.getLogger(name).addFilter(keep)


def answers(url: str) -> bool:
    """Whether a dashboard answers there; asked directly, whatever proxy the environment names."""
    try:
        with build_opener(ProxyHandler({})).open(f"{url}/_stcore/health", timeout=1):
            return True
    except OSError:
        return False


def _open_when_up(url: str) -> None:
    for _ in range(100):
        if answers(url):
            break
        time.sleep(0.1)
    webbrowser.open(url)


if __name__ == "__main__":
    sys.exit(main())
