"""What a soft mask at a price is worth, cell by cell, and its gradient by finite differences."""

import math


def soft_worth(log_prices, errors, price, temperature, sharpness):
    """(Largest trusted error, softly, less price times trusted share) over the root of the price."""
    trusted, share = [], 0.0
    for log_price, error in zip(log_prices, errors, strict=True):
        mask = 1 / (1 + math.exp((log_price - math.log(price)) / temperature))
        trusted.append(mask * error)
        share += mask / len(errors)
    counts = [math.exp(sharpness * one) for one in trusted]
    largest = sum(count * one for count, one in zip(counts, trusted, strict=True)) / sum(counts)
    return (largest - price * share) / math.sqrt(price)


def gradient(log_prices, errors, price, temperature, sharpness, step=1e-6):
    """The central difference by each log price."""
    found = []
    for k in range(len(log_prices)):
        above, below = list(log_prices), list(log_prices)
        above[k] += step
        below[k] -= step
        rest = (errors, price, temperature, sharpness)
        found.append((soft_worth(above, *rest) - soft_worth(below, *rest)) / (2 * step))
    return found
