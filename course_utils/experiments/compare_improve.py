"""Compare `improve` with the article's settings at equal time.

    python -m course_utils.experiments.compare_improve

writes `assets/results/improve.json`; that takes 24 minutes, or 13 with `--jobs 2` on two cores.

For each of five seeds the article's `SimpleCNN` (Fashion-MNIST, 9,000 pictures) is trained for 120
seconds as in the article, with Adam at 0.001, and improved for 120 seconds by `improve`. Each has
one thread. The test pictures are used only at the end. Each seed has up to five records:

- "article": the network after its 120 seconds;
- "article, best epoch": the same training at the epoch with the highest validation accuracy;
- "same layers": the article's layers, trained for thirty epochs as `improve` trains the candidates
  of its last round: what the training alone can do;
- "improve": the best network of the search;
- "improve, cheap": the cheapest candidate whose validation accuracy is at least as high as that of
  "article", trained once more as in the search.

A record has the accuracies, also on the training pictures without augmentation, and the changes of
the layers.

The budget is in seconds, so the numbers depend on the machine.
"""

from __future__ import annotations

import argparse
import copy
import multiprocessing
import threading

import torch
from torch import nn
from tqdm.auto import tqdm

from course_utils.core import one_thread
from course_utils.data import Dataset, load_dataset
from course_utils.experiments.results import Record, command_of, save_results
from course_utils.metrics import evaluate
from course_utils.models import SimpleCNN
from course_utils.search import ARTICLE, EPOCHS, PROVEN, Settings, improve, multiply_adds
from course_utils.training import History, fit

COMMAND = command_of(__file__)
SEEDS = (0, 1, 2, 3, 4)
SECONDS = 120


def run_seed(seed: int, seconds: float = SECONDS) -> list[Record]:
    """Run one seed; return its five records, or four if no candidate is "improve, cheap"."""
    data = load_dataset("fashion-mnist")
    with one_thread():
        records = [*_article(data, seed, seconds), same_layers(data, seed)]
        limit = f"{seconds:g} s"
        found = improve(_network(data, seed), data, limit, seed=seed, precision="auto")
        searched = {"improve": (found.best, found.network)}
        if (cheap := found.cheapest(records[0]["validation"])) is not None:
            model = found.build(cheap)
            arguments = Settings.of(cheap.params).fit_arguments()
            fit(model, data, epochs=cheap.epochs, **arguments, seed=seed, progress=False)
            searched["improve, cheap"] = cheap, model
        for what, (one, model) in searched.items():
            record = _record(what, seed, model, data, one.accuracy, one.epochs)
            records.append(record | {"layers": found.layers(one), "candidates": len(found.tried)})
    return records


def _network(data: Dataset, seed: int) -> SimpleCNN:
    torch.manual_seed(seed)
    return SimpleCNN.for_data(data)


def _article(data: Dataset, seed: int, seconds: float) -> list[Record]:
    """Train as in the article; return a record of the end and one of the best epoch."""
    model, stop = _network(data, seed), threading.Event()
    best: list[tuple[float, int, nn.Module]] = []

    def on_epoch(history: History) -> None:
        accuracy = history.validation_accuracy[-1]
        if not best or accuracy > best[0][0]:
            best[:] = [(accuracy, history.epoch[-1], copy.deepcopy(model))]

    timer = threading.Timer(seconds, stop.set)
    timer.start()
    arguments = Settings.of(ARTICLE).fit_arguments() | {"seed": seed, "progress": False}
    epochs = 10_000  # the time ends it
    history = fit(model, data, epochs=epochs, **arguments, stop=stop, on_epoch=on_epoch)
    timer.cancel()
    accuracy, epochs, snapshot = best[0]
    last = history.validation_accuracy[-1]
    return [
        _record("article", seed, model, data, last, len(history.epoch)),
        _record("article, best epoch", seed, snapshot, data, accuracy, epochs),
    ]


def same_layers(data: Dataset, seed: int) -> Record:
    """Train the article's layers as in the last round of `improve`; return the record."""
    model = _network(data, seed)
    arguments = Settings.of(PROVEN | {"augment": "flip and crop"}).fit_arguments()
    history = fit(model, data, epochs=EPOCHS[3], **arguments, seed=seed, progress=False)
    validation, epochs = history.validation_accuracy[-1], len(history.epoch)
    return _record("same layers", seed, model, data, validation, epochs)


def _record(
    what: str, seed: int, model: nn.Module, data: Dataset, validation: float, epochs: int
) -> Record:
    """Measure a network and return its record, as of a single candidate with unchanged layers."""
    train, test = (
        evaluate(model, part, mean=data.mean, std=data.std).accuracy
        for part in (data.train, data.test)
    )
    cost = multiply_adds(model, torch.zeros(2, *data.image_shape))
    return {
        "what": what,
        "seed": seed,
        "epochs": epochs,
        "train": train,
        "validation": validation,
        "test": test,
        "multiply_adds": cost,
        "layers": "",
        "candidates": 1,
    }


def main(jobs: int = 1) -> None:
    """Run every seed, `jobs` at a time, and write the results."""
    records: list[Record] = []
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        for some in tqdm(pool.imap_unordered(run_seed, SEEDS), total=len(SEEDS)):
            records += some
    settings = {"seconds": SECONDS, "pictures": len(load_dataset("fashion-mnist").train)}
    save_results("improve", records, command=COMMAND, settings=settings)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--jobs", type=int, default=1, help="seeds at a time, one core each")
    main(parser.parse_args().jobs)
