"""The process of one run: `python -m fssd_core.train_process RUN_FOLDER`. It trains, watches itself and obeys.

Everything is written whole: after a SIGKILL at any moment the checkpoints that are there are whole ones.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fssd_core.atomic import sweep
from fssd_core.checkpoint_file import read_tensors, save_checkpoint
from fssd_core.data import load_data
from fssd_core.errors import FssdError, ModelError
from fssd_core.extractor import FeatureExtractor
from fssd_core.losses import LOSSES, hidden_layer
from fssd_core.models.archs import ARCHS
from fssd_core.probe import class_mean_accuracy, logit_accuracy, look, make_probe, numbers
from fssd_core.run_data import run_labels, run_pixels, run_sets
from fssd_core.run_frame import append_progress, cut_progress, save_frame, save_probe
from fssd_core.run_spec import RunSpec, run_steps
from fssd_core.runs import DONE, FAILED, INTERRUPTED, PAUSED, RUNNING, STOPPED, born, read_state, write_state
from fssd_core.runtime import Progress, generator, is_out_of_memory, silent
from fssd_core.training import accuracy, build
from fssd_core.training_loop import Stream, Training

TICK = 0.8  # seconds between frames, more where measuring one takes long, see `pause_after`
LINES = 300  # about this many lines of progress, however long the run
TESTED = 2000  # test images behind a checkpoint's accuracy
MEANS_FROM = 500  # training images behind class means
RESUME = "resume.safetensors"
POLITE = 5  # the page and the browser come first where cores are short


class _Ended(Exception):
    """The run ends before its last step, in this state."""

    def __init__(self, state: str, message: str = "") -> None:
        super().__init__(message)
        self.state, self.message = state, message


def run(
    folder: Path, *, parent: int | None = None, ending: threading.Event | None = None, progress: Progress = silent
) -> str:
    """Trains the run of that folder from where it stands to its end, or until it is told to stop; gives its state.

    Args:
        folder: with a spec.json.
        parent: process without which the run ends, interrupted.
        ending: ends the run, interrupted, once it is set.
        progress: told after each update.
    """
    state: dict[str, Any] = {"started": time.time(), **read_state(folder)}
    state |= {"state": RUNNING, "message": "", "pid": os.getpid(), "born": born(os.getpid())}
    over, told = threading.Event(), False
    threading.Thread(target=_beat, args=(folder / "heartbeat", over), daemon=True).start()
    try:
        write_state(folder, **state)
        _Run(folder, state, parent, ending or threading.Event(), progress).go()
        state |= {"state": DONE}
    except _Ended as end:
        state |= {"state": end.state, "message": end.message}
    except KeyboardInterrupt:
        state |= {"state": INTERRUPTED, "message": "interrupted from the keyboard"}
        raise
    except FssdError as error:
        state |= {"state": FAILED, "message": str(error)}
    except OSError as error:
        words = f"its files cannot be read or written ({error.strerror or error}); it can go on once they can"
        state |= {"state": FAILED, "message": words}
    except Exception as error:  # noqa: BLE001 - the page shows it as a defect, with its traceback in the log
        traceback.print_exc()
        words = "memory ran out; take a smaller batch" if is_out_of_memory(error) else f"a defect: {error!r}"
        state |= {"state": FAILED, "message": words}
    finally:
        over.set()
        if folder.is_dir():
            with contextlib.suppress(OSError):  # a full disk: the page then finds that the process is gone, and why
                write_state(folder, **{**state, "ended": time.time()})
                told = True
        if not told and state["state"] == FAILED:
            print(state["message"], file=sys.stderr)  # the last line of the log, which the page shows
    return str(state["state"])


class _Run:
    """One run at work. Everything that decides the weights comes from the specification and the saved state."""

    def __init__(
        self, folder: Path, state: dict[str, Any], parent: int | None, ending: threading.Event, progress: Progress
    ) -> None:
        self.folder, self.state, self.parent, self.ending, self.progress = folder, state, parent, ending, progress
        self.spec = spec = RunSpec.from_json(json.loads((folder / "spec.json").read_text(encoding="utf-8")))
        entry = LOSSES[spec.loss]
        self.train_set, self.test_set = run_sets(spec)
        self.shape = self.train_set.shape
        labels, self.classes = run_labels(self.train_set, needed=entry.supervised)
        draws = generator(spec.seed)
        module = build(
            spec.arch, classes=self.classes, input_shape=self.shape, generator=draws, activation=spec.activation,
            dropout=spec.dropout,
        )  # fmt: skip
        with Stream(draws):
            loss = entry.make(module, self.shape)
        self.training = Training(
            module, run_pixels(self.train_set), labels, generator=draws, recipe=spec.recipe(), loss=loss
        )
        taps = ARCHS[spec.arch].taps or FeatureExtractor(module).layers
        self.layers = taps if entry.trains_logits else taps[:-1]
        self.device = next(module.parameters()).device
        self.by_logits = entry.trains_logits
        ood = {ref: load_data(ref, shape=self.shape).fitted(self.shape) for ref in spec.ood}
        self.probe = make_probe(self.test_set, ood, seed=spec.seed)
        self.wanted = set(run_steps(self.training.per_epoch, spec.epochs))
        self.recent: list[Tensor] = []
        self.next_tick = self.next_line = 0.0
        self.before = float(state.get("seconds", 0.0))
        self.clock = time.monotonic()

    def go(self) -> None:
        """Trains to the end.

        Raises:
            _Ended: told to stop, or the parent is gone.
        """
        training = self.training
        save_probe(self.folder, self.probe, self.train_set.classes)
        self._take_up()
        while True:
            if training.step in self.wanted and not self._file().exists():
                self._keep()
                self._tick(line=True)
            elif time.monotonic() >= self.next_tick:
                self._tick(line=False)
            if training.step >= training.total:
                return
            self._obey()
            self.recent.append(training.advance())
            self.progress(training.step, training.total, "steps")

    def _take_up(self) -> None:
        """Goes on from the saved state, or begins anew where there is none."""
        sweep(self.folder, older=5)  # a writer that was killed is gone; only the page writes here too, a word at a time
        path = self.folder / RESUME
        if path.exists():
            try:
                self.training.restore(read_tensors(path))
            except ModelError as error:
                self.state["message"] = f"begun anew: {error}"
        step = self.training.step
        for old in self.folder.glob("step-*.safetensors"):
            if int(old.stem.removeprefix("step-")) > step:
                old.unlink()
        cut_progress(self.folder, step)
        self._say(RUNNING)

    def _file(self) -> Path:
        return self.folder / f"step-{self.training.step:06d}.safetensors"

    def _keep(self) -> None:
        """Writes a checkpoint, then the state to go on from."""
        point = self.training.checkpoint()
        spec, right = self.spec, self._test_accuracy()
        facts: dict[str, object] = {
            "title": spec.title, "arch": spec.arch, "activation": spec.activation, "dropout": spec.dropout,
            "input_shape": self.shape, "taps": ",".join(self.layers), "mean": (0.0,) * self.shape[0],
            "std": (1.0,) * self.shape[0], "step": point.step, "epoch": point.epoch, "train_loss": point.loss,
            "loss": spec.loss, "seed": spec.seed, "data": f"{spec.data}, {len(self.train_set):,} images",
            "classes": self.train_set.classes, "torch": str(torch.__version__),
        }  # fmt: skip
        if right is not None:
            by = "logits" if self.by_logits else f"class means of {hidden_layer(self.training.module)}"
            facts |= {"test_accuracy": right, "accuracy_by": by, "test": f"{min(TESTED, len(self.test_set))} images"}
        save_checkpoint(self._file(), point.state, facts)
        save_checkpoint(self.folder / RESUME, self.training.state(), {})

    def _tick(self, *, line: bool) -> None:
        """Measures the probe: a frame each time, a line of numbers not more often than the charts need."""
        if not (self.folder / "spec.json").exists():
            raise _Ended(FAILED, "its folder was removed")
        began = time.monotonic()
        loss = float(torch.stack(self.recent).mean()) if self.recent else float("nan")
        frame = look(self.probe, FeatureExtractor(self.training.module, self.layers, device=self.device))
        save_frame(self.folder, frame, self.training.step)
        seconds = self.before + began - self.clock
        if line or began >= self.next_line:
            append_progress(
                self.folder,
                {
                    "step": self.training.step,
                    "epoch": self.training.step / self.training.per_epoch,
                    "seconds": seconds,
                    "loss": loss,
                    "accuracy": self._probe_accuracy(frame.logits),
                    "layers": numbers(frame.layers, frame.distance, self.probe.groups),
                },
            )
            self.recent = []
            self.next_line = began + max(TICK, seconds / LINES)
        self._say(RUNNING)
        now = time.monotonic()
        self.next_tick = now + pause_after(now - began) if not line else now + TICK / 2

    def _obey(self) -> None:
        """Does what the command file asks for; ends with the parent."""
        word = self._command()
        if word == "pause":
            self._pause()
        self._end_if_told(word)

    def _end_if_told(self, word: str) -> None:
        """Raises _Ended where the command, the system or the parent's end asks for it."""
        orphan = self.parent is not None and os.getppid() != self.parent
        if word == "stop":
            raise self._ended(STOPPED, "")
        if self.ending.is_set() or orphan:
            raise self._ended(INTERRUPTED, "the dashboard ended" if orphan else "ended from outside")

    def _pause(self) -> None:
        save_checkpoint(self.folder / RESUME, self.training.state(), {})
        self._say(PAUSED)
        trained = time.monotonic() - self.clock
        while (word := self._command()) != "resume":
            self.clock = time.monotonic() - trained  # a pause does not count
            self._end_if_told(word)
            time.sleep(0.1)
        self.clock = time.monotonic() - trained
        self._say(RUNNING)

    def _ended(self, state: str, message: str) -> _Ended:
        """Keeps where the training stands, also as a checkpoint, before it ends."""
        if not self._file().exists():
            self._keep()
            self._tick(line=True)
        else:
            save_checkpoint(self.folder / RESUME, self.training.state(), {})
        return _Ended(state, message)

    def _command(self) -> str:
        path = self.folder / "command"
        if not path.exists():
            return ""
        word = path.read_text(encoding="utf-8").strip()
        path.unlink(missing_ok=True)
        return word

    def _say(self, state: str) -> None:
        self.state |= {
            "state": state,
            "step": self.training.step,
            "total": self.training.total,
            "per_epoch": self.training.per_epoch,
            "seconds": round(self.before + time.monotonic() - self.clock, 2),
            "heartbeat": time.time(),
        }
        write_state(self.folder, **self.state)

    def _probe_accuracy(self, logits: Tensor) -> float | None:
        labels = self.test_set.labels
        if labels is None:
            return None
        truth = torch.from_numpy(self.probe.labels[self.probe.ind].astype("int64"))
        if self.by_logits:
            return logit_accuracy(logits, truth)
        return self._by_class_means(self.probe.images[self.probe.ind], truth)

    def _test_accuracy(self) -> float | None:
        test = self.test_set.sample(TESTED, seed=self.spec.seed)
        if test.labels is None:
            return None
        truth = torch.from_numpy(test.labels.copy())
        if self.by_logits:
            return accuracy(self.training.module, test.tensor(), truth)
        return self._by_class_means(test.tensor(), truth)

    def _by_class_means(self, images: Tensor, truth: Tensor) -> float | None:
        """Labels are looked at for this number only; a loss without labels trains without them."""
        known = self.train_set.sample(MEANS_FROM, seed=self.spec.seed)
        if known.labels is None:
            return None
        layer = hidden_layer(self.training.module)
        extractor = FeatureExtractor(self.training.module, [layer], device=self.device)
        points = extractor.features(known.tensor())[layer]
        return class_mean_accuracy(
            points, torch.from_numpy(known.labels.copy()), extractor.features(images)[layer], truth
        )


def pause_after(took: float) -> float:
    """Seconds without a frame after one that took so long: frames get half of the time at most, slow ones a quarter."""
    return max(TICK, took, 4 * took - 2)


def _beat(path: Path, over: threading.Event) -> None:
    while not over.wait(1.0):
        if not path.parent.is_dir():
            return
        path.touch()


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the process; 0 if the run is done or was stopped."""
    parser = argparse.ArgumentParser(prog="python -m fssd_core.train_process")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--parent", type=int, help="process without which the run ends")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    if hasattr(os, "nice"):
        os.nice(POLITE)

    ending = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    return 0 if run(options.folder, parent=options.parent, ending=ending) in (DONE, STOPPED) else 1


if __name__ == "__main__":
    sys.exit(main())
