"""Logistic regression by gradient descent at one learning rate: train.py TABLE.csv RATE."""

import csv
import json
import math
import sys

MEASURES = ("mean_radius", "mean_texture", "mean_smoothness")
STEPS = 40


def read(path):
    """The measures of each row, and 1 if it is malignant."""
    with open(path, newline="") as file:
        return [
            ([float(row[name]) for name in MEASURES], row["diagnosis"] == "malignant") for row in csv.DictReader(file)
        ]


def scaled(rows):
    """Each measure with mean 0 and deviation 1, before it a 1 for the intercept."""
    columns = list(zip(*(measures for measures, _ in rows), strict=True))
    means = [math.fsum(column) / len(column) for column in columns]
    spreads = [
        math.sqrt(math.fsum((value - mean) ** 2 for value in column) / len(column)) or 1.0
        for column, mean in zip(columns, means, strict=True)
    ]
    return [
        (
            [1.0, *((value - mean) / spread for value, mean, spread in zip(measures, means, spreads, strict=True))],
            float(malignant),
        )
        for measures, malignant in rows
    ]


def chance(weights, measures):
    score = max(-30.0, min(30.0, math.fsum(w * x for w, x in zip(weights, measures, strict=True))))
    return 1 / (1 + math.exp(-score))


def fit(rows, rate):
    """The weights after some steps down the gradient."""
    weights = [0.0] * (len(MEASURES) + 1)
    for _ in range(STEPS):
        errors = [(chance(weights, measures) - malignant, measures) for measures, malignant in rows]
        slopes = [math.fsum(error * measures[k] for error, measures in errors) / len(rows) for k in range(len(weights))]
        weights = [weight - rate * slope for weight, slope in zip(weights, slopes, strict=True)]
    return weights


def loss(weights, rows):
    """The mean logarithmic loss."""
    told = [chance(weights, measures) if malignant else 1 - chance(weights, measures) for measures, malignant in rows]
    return -math.fsum(map(math.log, told)) / len(rows)


def trained(path, rate):
    """A model as disclosure control reads it: every fourth row is held back to judge it by."""
    rows = scaled(read(path))
    seen, unseen = [row for k, row in enumerate(rows) if k % 4], rows[::4]
    weights = fit(seen, rate)
    names = ("intercept", *MEASURES)
    return {
        "disclosure": 1,
        "type": "model",
        "count": len(seen),
        "parameters": {name: {"estimate": weight} for name, weight in zip(names, weights, strict=True)},
        "fit": {"loss": loss(weights, unseen), "rate": rate},
    }


if __name__ == "__main__":
    with open("model.json", "w") as file:
        json.dump(trained(sys.argv[1], float(sys.argv[2])), file)
