"""Random graphs by hand: `PYTHONPATH=tests python -m random_graphs --seed 7 --save FOLDER`."""

import argparse
from pathlib import Path

import onnx

from .running import outcome_of, run, save
from .sample import sample_of


def main():
    parser = argparse.ArgumentParser(prog="python -m random_graphs", description=__doc__)
    parser.add_argument("--seed", type=int, help="one model: what it is, and what the judge says")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--ties", type=float, help="share of recipes that make equal numbers")
    parser.add_argument("--save", type=Path, help="folder for model and images of --seed")
    wanted = parser.parse_args()
    if wanted.seed is None:
        print(run(range(wanted.first, wanted.first + wanted.count), wanted.ties, print))
        return
    sample = sample_of(wanted.seed, wanted.ties)
    print(onnx.printer.to_text(sample.proto))
    outcome = outcome_of(sample)
    print(outcome.status, outcome.reason, outcome, sep="\n")
    if wanted.save:
        print(save(sample, wanted.save))


if __name__ == "__main__":
    main()
