"""A dashboard session without a browser: speaks the page's websocket protocol, moves widgets, reads what is drawn."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import connect

DEPTH = 2**28  # bytes a message may have


class SocketSession:
    """One session, as an asynchronous context manager: connected inside, its tab closed after.

    Attributes:
        widgets: {label: (id, the element's message)} of what was drawn last.
        words: texts of the last run: markdown, alerts, progress.
        errors: exceptions that the page showed.
        polls: {fragment: when it asks again}: not empty while a job's progress is shown.
    """

    def __init__(self, url: str, *, page: str = "", query: str = "") -> None:
        self._address = url.replace("http://", "ws://") + "/_stcore/stream"
        self.page, self.query = page, query
        self.widgets: dict[str, tuple[str, Any]] = {}
        self.words: list[str] = []
        self.errors: list[str] = []
        self._state: dict[str, dict[str, Any]] = {}
        self._hash = ""
        self._part = False  # whether the run that begins next is that of a fragment
        self._cached: dict[str, Any] = {}  # large messages, which the server need not send twice
        self.polls: dict[str, float] = {}  # {fragment: when it is due again}
        self._intervals: dict[str, float] = {}

    async def __aenter__(self) -> SocketSession:
        self._socket = await connect(self._address, subprotocols=["streamlit"], max_size=DEPTH, proxy=None)  # type: ignore[list-item]
        await self.run()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._socket.close()

    def has(self, words: str) -> bool:
        """Whether the page says this."""
        return any(words in text for text in self.words)

    async def choose(self, label: str, value: Any) -> float:
        """Sets a widget, seconds until the page's script has followed.

        Args:
            label: of a select box (value: the option), a slider over options (value: the option) or a button (True).
            value: what is chosen.
        """
        name, element = self.widgets[label]
        kind = type(element).__name__
        if kind == "Slider":
            self._state[name] = {"string_array_value": [str(value)]}
        elif kind == "Button":
            return await self.run(pressed=name)
        else:
            self._state[name] = {"string_value": str(value)}
        return await self.run()

    async def run(self, *, fragment: str = "", pressed: str = "", poll: bool = False) -> float:
        """Runs the page's script (or one fragment); seconds until it is over."""
        message = BackMsg()
        state = message.rerun_script
        state.query_string, state.page_script_hash, state.page_name = self.query, self._hash, self.page
        state.fragment_id, state.is_auto_rerun = fragment, poll
        state.cached_message_hashes.extend(self._cached)
        for name, values in self._state.items():
            widget = state.widget_states.widgets.add(id=name)
            for attribute, value in values.items():
                if attribute == "string_array_value":
                    widget.string_array_value.data.extend(value)
                else:
                    setattr(widget, attribute, value)
        if pressed:
            state.widget_states.widgets.add(id=pressed).trigger_value = True
        begun = time.perf_counter()
        await self._socket.send(message.SerializeToString())
        self._part = bool(fragment)
        while not self._take(await self._socket.recv()):
            pass
        return time.perf_counter() - begun

    async def idle(self, seconds: float) -> None:
        """Takes what comes for so long, and polls where the page would."""
        end = time.perf_counter() + seconds
        await self.until(lambda: time.perf_counter() > end, seconds=seconds + 60)

    async def until(self, holds: Callable[[], bool], *, seconds: float = 300) -> float:
        """Polls as the page does until it holds; seconds that took.

        Raises:
            TimeoutError: it did not.
        """
        begun = time.perf_counter()
        while not holds():
            if time.perf_counter() - begun > seconds:
                raise TimeoutError(f"not within {seconds} s; the page says {self.words[-3:]}")
            due = min(self.polls.items(), key=lambda item: item[1], default=None)
            wait = 0.2 if due is None else max(0.0, due[1] - time.monotonic())
            try:
                async with asyncio.timeout(wait):
                    self._take(await self._socket.recv())
            except TimeoutError:
                if due is not None and due[0] in self.polls:
                    self.polls[due[0]] = time.monotonic() + self._intervals[due[0]]
                    await self.run(fragment=due[0], poll=True)
        return time.perf_counter() - begun

    def _take(self, data: Any) -> bool:
        """Takes one message over; whether the script's run is over and no other follows at once."""
        message = ForwardMsg()
        message.ParseFromString(data)
        if message.WhichOneof("type") == "ref_hash":
            message = self._cached[message.ref_hash]
        elif message.metadata.cacheable:
            self._cached[message.hash] = message
        kind = message.WhichOneof("type")
        if kind == "new_session":
            self._hash = message.new_session.page_script_hash
            if not self._part:  # the whole page is drawn anew
                self.words, self.polls = [], {}
            self._part = False
        elif kind == "auto_rerun":
            self._intervals[message.auto_rerun.fragment_id] = message.auto_rerun.interval
            self.polls[message.auto_rerun.fragment_id] = time.monotonic() + message.auto_rerun.interval
        elif kind == "delta" and message.delta.WhichOneof("type") == "new_element":
            self._draw(message.delta.new_element)
        elif kind == "script_finished":
            return message.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN
        return False

    def _draw(self, element: Any) -> None:
        kind = element.WhichOneof("type")
        inner = getattr(element, kind)
        if kind == "exception":
            self.errors.append(f"{inner.type}: {inner.message}")
        for attribute in ("body", "text"):
            text = getattr(inner, attribute, "")
            if isinstance(text, str) and text:
                self.words.append(text)
        if label := getattr(inner, "label", ""):
            self.widgets[label] = (inner.id, inner)
