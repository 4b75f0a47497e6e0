"""The embedded vendor: a small stochastic x4 upscaler and a stochastic colouriser behind a real HTTP interface.

It stands in for a commercial vendor where there is no key and no network.
"""
