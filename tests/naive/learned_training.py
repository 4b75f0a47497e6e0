"""What a soft mask at a multiplier is worth, cell by cell, and its gradient by finite differences."""

import math


def soft_worth(log_multipliers, errors, multiplier, temperature, sharpness):
    """(Largest trusted error, softly, less multiplier times trusted share) over the root of the multiplier."""
    trusted, share = [], 0.0
    for log_multiplier, error in zip(log_multipliers, errors, strict=True):
        mask = 1 / (1 + math.exp((log_multiplier - math.log(multiplier)) / temperature))
        trusted.append(mask * error)
        share += mask / len(errors)
    counts = [math.exp(sharpness * one) for one in trusted]
    largest = sum(count * one for count, one in zip(counts, trusted, strict=True)) / sum(counts)
    return (largest - multiplier * share) / math.sqrt(multiplier)


def gradient(log_multipliers, errors, multiplier, temperature, sharpness, step=1e-6):
    """The central difference by each log multiplier."""
    found = []
    for k in range(len(log_multipliers)):
        above, below = list(log_multipliers), list(log_multipliers)
        above[k] += step
        below[k] -= step
        rest = (errors, multiplier, temperature, sharpness)
        found.append((soft_worth(above, *rest) - soft_worth(below, *rest)) / (2 * step))
    return found
