"""Logarithms and powers of e to 40 digits, and products of matrices by their definition, in plain loops."""

from decimal import Context, Decimal

import numpy as np

DIGITS = Context(40, Emin=-(10**6), Emax=10**6)


def logarithm(values):
    """Correctly rounded."""
    return np.array([float(DIGITS.ln(Decimal(float(value)))) for value in values])


def exponential(values):
    """Correctly rounded, of values held to ±700."""
    return np.array([float(DIGITS.exp(Decimal(float(min(max(value, -700), 700))))) for value in values])


def product(first, second):
    """Each sum from the first to the last, rounded to the type of `first` after each step."""
    out = np.zeros((first.shape[0], second.shape[1]), first.dtype)
    for row, column in np.ndindex(*out.shape):
        for k in range(first.shape[1]):
            out[row, column] += first.dtype.type(first[row, k] * second[k, column])
    return out
