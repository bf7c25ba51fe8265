"""Speed of `fit`, compared with loops written by hand, on the network of notebook 02_2.

- Two bare loops: only the steps, on pictures that are already normalised float32 tensors; one with
  the number format and memory layout that `fit` chooses, one in plain float32.
- The article's loop: a DataLoader in the same process that crops, mirrors and normalises each
  picture with PIL. `fit` augments in the same way.

`fit` and the other loop take turns with equal numbers of steps, so that other programs disturb both
by the same amount, and the medians of their step times are compared. Loops that do the same work
take turns after each step. The others have longer turns, and the first steps of a turn, when the
caches still hold the other loop's numbers, do not count. There is one thread, and its processor
time is measured: with more threads, other programs would change the result.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import transforms

from course_utils.data import Augment, Dataset, ImageSet, load_dataset
from course_utils.models import SimpleCNN
from course_utils.training import PLAIN, Precision, Step, fastest_precision, fit
from course_utils.training.probe import forget

BATCH = 64
PICTURES = 140 * BATCH
ROUNDS = 5  # of 140 steps
SHORT, LONG = 1, 20  # steps in a turn
LEAST_OF_BARE, LEAST_OF_ARTICLE = 0.97, 3.0


def fresh_model() -> nn.Module:
    torch.manual_seed(0)
    return SimpleCNN()


def by_hand(images: Tensor, labels: Tensor, precision: Precision) -> Iterator[None]:
    """Train in a bare loop without end, one step at a time."""
    model = fresh_model().train()
    precision.arrange_model(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    while True:
        for index in torch.randperm(len(images)).split(BATCH):
            batch = precision.arrange(images[index])
            with precision.autocast(images.device):
                logits = model(batch)
            loss = F.cross_entropy(logits.float(), labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()
            yield


class Pictures(torch.utils.data.Dataset):
    """Pictures as in the article: PIL images, each transformed when it is needed."""

    def __init__(self, image_set: ImageSet, mean: Tensor, std: Tensor) -> None:
        self.images = image_set.images[:, 0].numpy()
        self.labels = image_set.labels.tolist()
        augmented = [transforms.RandomCrop(28, padding=4), transforms.RandomHorizontalFlip()]
        normalised = [transforms.ToTensor(), transforms.Normalize(mean.tolist(), std.tolist())]
        self.transform = transforms.Compose(augmented + normalised)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


def like_the_article(pictures: Pictures) -> Iterator[None]:
    """Train in the article's loop without end, one step at a time."""
    model = fresh_model().train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    criterion = nn.CrossEntropyLoss()
    while True:
        for images, labels in DataLoader(pictures, BATCH, shuffle=True, num_workers=0):
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
            loss.item()
            yield


def in_turn(
    data: Dataset, precision: Precision, augment: Augment | None, other: Iterator[None], turn: int
) -> tuple[float, float]:
    """Return pictures per second of `fit` and of `other`, from the medians over their steps."""
    ours, theirs, began = [], [], 0.0

    def on_step(step: Step) -> None:
        nonlocal began
        ours.append(time.thread_time() - began)
        if step.step % turn == 0:
            for _ in range(turn):
                began = time.thread_time()
                next(other)
                theirs.append(time.thread_time() - began)
        began = time.thread_time()

    options = {"batch_size": BATCH, "precision": precision, "augment": augment, "device": "cpu"}
    fit(fresh_model(), data, epochs=1, on_step=on_step, progress=False, **options)

    def rate(times: list[float]) -> float:
        settled = [t for i, t in enumerate(times) if i >= 20 and i % turn >= turn // 5]
        return BATCH / statistics.median(settled)

    return rate(ours), rate(theirs)


def main() -> int:
    torch.set_num_threads(1)
    data = load_dataset("fashion-mnist", validation=0)
    few = data.train.subset(torch.arange(PICTURES))
    train = Dataset(data.name, data.title, few, few.subset([]), data.test)
    images = train.normalise(few.images)

    forget()
    started = time.perf_counter()
    best = fastest_precision(fresh_model().train(), images[:BATCH])
    print(f"{best}, which took {time.perf_counter() - started:.2f} s; one thread, pictures/s:")

    article = like_the_article(Pictures(few, data.mean, data.std))
    crops = Augment(pad_crop=4, flip=True)
    status = 0
    same, plain = (by_hand(images, few.labels, precision) for precision in (best, PLAIN))
    for name, precision, augment, other, turn, least in (
        ("bare loop, same precision", best, None, same, SHORT, LEAST_OF_BARE),
        ("bare loop, both float32", PLAIN, None, plain, SHORT, LEAST_OF_BARE),
        ("bare loop, float32", best, None, plain, LONG, LEAST_OF_BARE),
        ("the article's loop", best, crops, article, LONG, LEAST_OF_ARTICLE),
    ):
        rates = [in_turn(train, precision, augment, other, turn) for _ in range(ROUNDS)]
        ratio = statistics.median(ours / theirs for ours, theirs in rates)
        ours, theirs = map(statistics.median, zip(*rates, strict=True))
        held = ratio >= least
        status |= not held
        figures = f"{ours:>8,.0f} : {theirs:>6,.0f}   ratio {ratio:.3f} (at least {least:g})"
        print(f"fit : {name:<28}{figures}   {'OK' if held else 'too slow'}", flush=True)
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
