"""Train three networks on Fashion-MNIST, and store what each one answers for every test picture.

    python -m course_utils.experiments.evaluated_networks

They are the network of notebook 02_2 ("first_cnn"), the same without label smoothing and mirrored
pictures ("plain"), and a narrower one with half as many kernels ("narrow"), each with two seeds. It
takes about two minutes. Notebook 05_2 asks whether one is better than another.
"""

from __future__ import annotations

from typing import Any

import torch

from course_utils.core import private_random_numbers
from course_utils.data import Dataset, load_dataset
from course_utils.experiments.first_cnn import first_cnn_recipe
from course_utils.experiments.results import command_of, save_results
from course_utils.metrics import evaluate, fit_temperature, reliability
from course_utils.models import SimpleCNN, load_pretrained
from course_utils.training import Precision, fit

NETWORKS = ("first_cnn", "plain", "narrow")
SEEDS = (0, 1)
COMMAND = command_of(__file__)


def train_network(name: str, data: Dataset, seed: int, **changes: Any) -> SimpleCNN:
    """Train one of the networks.

    Args:
        name: One of `NETWORKS`.
        seed: Of the first weights and of the training.
        changes: Other arguments of `fit`, such as fewer epochs.
    """
    recipe = first_cnn_recipe() | {"seed": seed}
    if name == "plain":
        recipe |= {"label_smoothing": 0.0, "augment": None}
    widths = (8, 16) if name == "narrow" else (16, 32)
    channels, *size = data.image_shape
    with private_random_numbers():
        torch.manual_seed(seed)
        model = SimpleCNN(channels, len(data.classes), tuple(size), widths=widths)
    settings = {"device": "cpu", "precision": Precision(threads=1), "progress": False}
    fit(model, data, **(recipe | settings | changes))
    return model


def record(name: str, data: Dataset, seed: int, model: SimpleCNN) -> dict[str, Any]:
    """Return the answers of a network for the test pictures, and how well it is calibrated.

    The temperature is fitted to the validation pictures. `predictions` is a digit for each picture.
    """
    scale = {"mean": data.mean, "std": data.std}
    validation = evaluate(model, data.validation, **scale)
    test = evaluate(model, data.test, **scale)
    temperature = fit_temperature(validation.logits, validation.labels)
    before = reliability(test.labels, test.probabilities)
    after = reliability(test.labels, (test.logits / temperature).softmax(1))
    return {
        "network": name,
        "seed": seed,
        "accuracy": test.accuracy,
        "loss": test.loss,
        "temperature": temperature,
        "excess": before.excess,
        "error": before.error,
        "error_after": after.error,
        "predictions": "".join(map(str, test.predictions.tolist())),
    }


def main() -> None:
    """Train all networks and replace the file of results."""
    data = load_dataset("fashion-mnist")
    records = []
    for name in NETWORKS:
        for seed in SEEDS:
            shipped = (name, seed) == ("first_cnn", 0)
            model = load_pretrained(name) if shipped else train_network(name, data, seed)
            records.append(record(name, data, seed, model))
            print(f"{name}, seed {seed}: {records[-1]['accuracy']:.1%}", flush=True)
    settings = {"data": data.name, "test_pictures": len(data.test), "epochs": 8}
    save_results("evaluated_networks", records, command=COMMAND, settings=settings)


if __name__ == "__main__":
    main()
