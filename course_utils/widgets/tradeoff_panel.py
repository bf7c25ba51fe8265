"""The trade-off panel: what accuracy costs here; a click on a point takes that network."""

from __future__ import annotations

import html
import io
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import torch
from torch import nn

from course_utils.compress import OnnxNetwork, prune, recalibrate
from course_utils.core import CourseError, one_thread, whole_number
from course_utils.data import Dataset, load_dataset
from course_utils.metrics import (
    Interval,
    check_model_fits,
    evaluate,
    measure_latency,
    typical_ratio,
    wilson_interval,
)
from course_utils.models import load_pretrained
from course_utils.plots import front, places, tradeoffs
from course_utils.widgets.controls import code_toggle, row_of
from course_utils.widgets.overlay import Spot, overlay
from course_utils.widgets.panel import Panel, choice
from course_utils.widgets.saved_weights import new_file, save_weights

_WIDTH, _HEIGHT, _SPOT = 700, 340, 24

# A click on a point chooses it in the list.
_CLICK = (
    "const list = this.closest('.course-panel').querySelector('.course-network select');"
    " list.selectedIndex = {row}; list.dispatchEvent(new Event('change', {{bubbles: true}}));"
)


@dataclass(frozen=True)
class Measured:
    """A network, as it was measured.

    Attributes:
        correct, total: Right answers, and pictures.
        time: Of a batch, as a part of the first network's.
        kilobytes: Size of its file.
    """

    correct: int
    total: int
    time: float
    kilobytes: float

    @property
    def accuracy(self) -> float:
        """Share of right answers, in [0, 1]."""
        return self.correct / self.total

    @property
    def interval(self) -> Interval:
        """Wilson's interval of the accuracy, 95 %."""
        return wilson_interval(self.correct, self.total)


@dataclass(frozen=True)
class Tradeoff:
    """The panel's result.

    Attributes:
        networks: All that were measured, by name.
        chosen: Name of the one that the reader wants.
        batch: Pictures in a batch.
    """

    networks: Mapping[str, Measured]
    chosen: str
    batch: int

    @property
    def charts(self) -> dict[str, dict[str, tuple[float, tuple[float, float, float]]]]:
        """The points for `plots.tradeoffs`."""
        of_accuracy = {
            name: (one.accuracy, one.interval.low, one.interval.high)
            for name, one in self.networks.items()
        }
        first = next(iter(self.networks))
        return {
            f"time of {self.batch} pictures / {first}'s": {
                name: (one.time, of_accuracy[name]) for name, one in self.networks.items()
            },
            "file, kB": {
                name: (one.kilobytes, of_accuracy[name]) for name, one in self.networks.items()
            },
        }

    @property
    def fronts(self) -> list[str]:
        """The costs ("time", "file size") for which no other network beats the chosen one."""
        costs = zip(("time", "file size"), self.charts.values(), strict=True)
        one = self.chosen
        return [
            word for word, points in costs if (points[one][0], points[one][1][0]) in front(points)
        ]


def measured_networks(
    networks: Mapping[str, nn.Module],
    data: Dataset,
    *,
    pictures: int = 500,
    batch: int = 64,
    seconds: float = 0.3,
) -> dict[str, Measured]:
    """Measure networks on the validation pictures of `data`.

    Args:
        networks: By name; the first is the one that the times are compared with.
        pictures: Of the validation part, the same number of each class.
        batch: Pictures in the batch that is timed, with one thread.
        seconds: Of the timing, for each network.

    Raises:
        CourseError: If there is no network or no picture, or they do not fit together.
    """
    if not networks:
        raise CourseError("There is no network to measure: give at least one.")
    if not len(data.validation):
        raise CourseError(f"{data.title} has no validation pictures to measure on.")
    few = data.validation.few(min(whole_number("pictures", pictures, 1), len(data.validation)))
    images = data.normalise(few.images[: whole_number("batch", batch, 1)])
    found = {}
    with one_thread():
        for name, network in networks.items():
            check_model_fits(network, data)
            found[name] = evaluate(network, few, mean=data.mean, std=data.std)
        times = measure_latency(networks, images, seconds=seconds, clock=time.process_time)
    first = times[next(iter(networks))]
    return {
        name: Measured(
            found[name].correct,
            found[name].total,
            typical_ratio(times[name], first),
            _file_bytes(network) / 1000,
        )
        for name, network in networks.items()
    }


def _file_bytes(network: nn.Module) -> int:
    if isinstance(network, OnnxNetwork):
        return network.path.stat().st_size
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    return file.tell()


def summary(result: Tradeoff) -> str:
    """Return what is known of the chosen network, in a line."""
    one, first = result.networks[result.chosen], next(iter(result.networks))
    low, high = one.interval
    words = [
        f"{result.chosen}: {one.accuracy:.1%} of {one.total:,} pictures (95 % interval {low:.1%} to"
        f" {high:.1%}), {one.time:.2f} of the time of {first}, {one.kilobytes:,.0f} kB."
    ]
    if result.fronts:
        best = " or ".join(result.fronts)
        words.append(f"No other network here is better in accuracy and {best}.")
    else:
        words.append("Another network here is at least as good, and faster; and one is smaller.")
    return " ".join(words)


class TradeoffPanel(Panel):
    """Trade-off panel: networks -> accuracy against time and file size; a click takes one.

    The accuracies are of validation pictures, the times of one thread of this computer. The front,
    the dark steps, has the networks that no other beats in both. A click on a point, or the list,
    chooses a network; it is then `panel.network`, and Save writes it to a file.

    Args:
        networks: By name; the first is the one that the times are compared with. An `OnnxNetwork`
            is one, too. Default: the network of notebook 04_1, the same without a quarter of its
            channels, and that of 02_2.
        data: Default: Fashion-MNIST.
        pictures, batch, seconds: As for `measured_networks`.
        settings: First value of the control `network`.

    Raises:
        CourseError: As for `measured_networks`, or the control cannot have such a value.
    """

    def __init__(
        self,
        networks: Mapping[str, nn.Module] | None = None,
        data: Dataset | None = None,
        *,
        pictures: int = 500,
        batch: int = 64,
        seconds: float = 0.3,
        **settings: Any,
    ):
        data = load_dataset("fashion-mnist") if data is None else data
        self.networks = _offered(data) if networks is None else dict(networks)
        more = {"pictures": pictures, "batch": batch, "seconds": seconds}
        self._measured, self._batch = measured_networks(self.networks, data, **more), batch
        self._buttons, self._status = widgets.HTML(), widgets.HTML()
        control = choice("network", list(self.networks))
        control.add_class("course-network")
        hint = "Write the chosen network into a file in the current folder"
        save = self._button("Save", self.save, hint, "download")
        super().__init__(
            {"network": control},
            title="Trade-off panel",
            width=_WIDTH,
            extra=(row_of(save), self._status),
            initial=settings,
        )
        self._lay_over_picture(self._buttons)
        self.children[1].children[0].children += (code_toggle(self._code),)

    @property
    def network(self) -> nn.Module:
        """The chosen network."""
        return self.networks[self.settings["network"]]

    def save(self) -> Path:
        """Write the chosen network into a new file in the current folder, and return its path.

        An ONNX file is copied; of another network the weights are written.

        Raises:
            CourseError: If the file cannot be written.
        """
        name, network = self.settings["network"], self.network
        if isinstance(network, OnnxNetwork):
            path = new_file(name, ".onnx", mark="")
            try:
                shutil.copyfile(network.path, path)
            except OSError as error:
                raise CourseError(f"{path} cannot be written ({error.strerror}).") from error
        else:
            path = save_weights(network, new_file(name, mark=""))
        self._say(f"Saved in the file {path}.")
        return path

    def _say(self, text: str) -> None:
        self._status.value = html.escape(text)

    def compute(self, *, network: str) -> Tradeoff:
        return Tradeoff(self._measured, network, self._batch)

    def picture(self, result: Tradeoff) -> bytes:
        figure = tradeoffs(result.charts, chosen=result.chosen)
        picture = figure.to_png(compress_level=1)
        half, names = _SPOT // 2, list(result.networks)
        spots = [
            Spot(
                name,
                _CLICK.format(row=names.index(name)),
                name == result.chosen,
                round(x) - half,
                round(y) - half,
                _SPOT,
                _SPOT,
            )
            for name, x, y in places(figure)
        ]
        self._buttons.value = overlay(spots, _WIDTH, _HEIGHT)
        return picture

    def describe(self, result: Tradeoff) -> str:
        return summary(result)

    def describe_unmeasured(self, result: Tradeoff) -> str:
        return f"{', '.join(result.networks)}; chosen: {result.chosen}."

    def code(self, result: Tradeoff) -> str:
        return (
            "# networks, data: those that you gave the panel\n"
            f"network = networks[{result.chosen!r}]\n"
            "found = evaluate(network, data.validation, mean=data.mean, std=data.std)\n"
        )


def _offered(data: Dataset) -> dict[str, nn.Module]:
    whole = load_pretrained("small_resnet")
    some = data.normalise(data.train.few(300).images)
    narrow = recalibrate(prune(whole, 0.25), some)
    first = load_pretrained("first_cnn")
    return {"small_resnet": whole, "a quarter removed": narrow, "first_cnn": first}


def tradeoff_panel(
    networks: Mapping[str, nn.Module] | None = None, data: Dataset | None = None, **keywords: Any
) -> TradeoffPanel:
    """Open the trade-off panel; the arguments are those of `TradeoffPanel`."""
    return TradeoffPanel(networks, data, **keywords)
