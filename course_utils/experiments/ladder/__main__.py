"""Train the whole ladder, and go on where it was stopped (§5.1).

    python -m course_utils.experiments.ladder --data fashion_mnist_small --seeds 0 1 2

writes `assets/results/ladder.json`, with `--data cifar10` `ladder_cifar10.json`. On one core the
first takes about seven minutes for each seed, CIFAR-10 one to two hours. Stop it whenever you like,
even by a power cut: the same command goes on after the last finished epoch.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from course_utils.core import CourseError, check_writable, whole_number
from course_utils.data import DataError, cache_dir, load_dataset
from course_utils.experiments.ladder import COMMAND
from course_utils.experiments.ladder.climb import Machine, climb
from course_utils.experiments.ladder.ladder_file import LadderFile, Row, settings_of
from course_utils.experiments.ladder.rungs import PLANS, Plan, rung_named, rungs_of
from course_utils.experiments.ladder.shipped import ship
from course_utils.experiments.results import FOLDER


def run(
    data: str,
    plan: Plan,
    seeds: Sequence[int],
    machine: Machine,
    *,
    results: Path = FOLDER,
    state: Path | None = None,
    names: Sequence[str] = (),
    progress: bool = False,
) -> Path:
    """Train what is missing in the file of results, a whole ladder for each seed, and say so.

    Args:
        data: Name of the ladder, and so of its file.
        state: Folder for weights and checkpoints; None for one in the course's cache.
        names: Only these rungs; all if there is none.

    Returns:
        The folder with the trained weights.

    Raises:
        CourseError: If the data are not there, the file is of another ladder, or any error of
            `climb`.
    """
    rungs = rungs_of(plan)
    chosen = {rung_named(name, rungs).name for name in names} or {rung.name for rung in rungs}
    settings = settings_of(data, plan, machine)
    command = f"{COMMAND} --data {data} --seeds {' '.join(map(str, seeds))}"
    file = LadderFile(data, command, settings, results)
    check_writable(file.path)
    _check_data(plan)
    kind = f"{data}-{settings['recipe']}-{machine.device}-{machine.precision.name}"
    state = state or cache_dir() / "ladder" / kind.replace(", ", "-").replace(" ", "-")
    for seed in seeds:
        for number, rung in enumerate(rungs, start=1):
            if rung.name not in chosen or (rung.name, seed) in file.done():
                continue
            found = climb(rung, plan, seed, state, machine, progress=progress)
            file.add(Row.of(number, seed, found))
            print(
                f"seed {seed}, rung {number} of {len(rungs)}, {rung.name}: {found.test}", flush=True
            )
    print(f"All rungs that were asked for are in {file.path}.")
    print(f"Trained weights are in {state}.")
    return state


def _check_data(plan: Plan) -> None:
    """Say what to do about missing data before hours of work."""
    try:
        load_dataset(plan.data)
    except DataError as error:
        if plan.data == "fashion-mnist":
            raise
        raise DataError(
            f"{error} Or climb the ladder of the data that the course ships: "
            "--data fashion_mnist_small."
        ) from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 1 after a sentence on stderr if it could not be done."""
    options = _parser().parse_args(arguments)
    try:
        plan = PLANS[options.data]
        if options.batch_size is not None:
            size = whole_number("batch_size", options.batch_size, 1)
            plan = replace(
                plan,
                batch_size=min(size, plan.batch_size),
                sgd_batch_size=min(size, plan.sgd_batch_size),
            )
        for seed in options.seeds:
            whole_number("seed", seed, 0)
        whole_number("threads", options.threads, 1)
        machine = Machine.chosen(options.device, options.precision, options.threads)
        torch.set_num_threads(options.threads)
        folders = {"results": options.results, "state": options.state}
        state = run(
            options.data,
            plan,
            options.seeds,
            machine,
            **folders,
            names=options.rungs,
            progress=sys.stderr.isatty(),
        )
        if options.ship:
            ship(plan, state)
    except CourseError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped: the same command goes on after the last finished epoch.", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=COMMAND, description="Train the ladder of notebook 05_1; go on where it was stopped."
    )
    add = parser.add_argument
    add("--data", choices=PLANS, default="fashion_mnist_small")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2])
    add("--device", default="auto", help="auto takes a CUDA GPU if there is one")
    add("--precision", default="auto", help="float32, bfloat16, or auto: bfloat16 on a GPU only")
    add("--threads", type=int, default=1, help="on the CPU; part of what decides the last digits")
    add("--batch-size", type=int, help="at most so many pictures in a step: another recipe")
    add("--rungs", nargs="+", default=[], metavar="NAME", help="only these rungs")
    add("--results", type=Path, default=FOLDER, help="folder of the file of results")
    add("--state", type=Path, help="folder of weights and checkpoints")
    add("--ship", action="store_true", help="store the first and the top network in the package")
    return parser


if __name__ == "__main__":
    sys.exit(main())
