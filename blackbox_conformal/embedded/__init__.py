"""The embedded vendor: stochastic x4 upscaler, stochastic colouriser and denoiser behind a real HTTP interface.

It stands in for a commercial vendor if there is no key and no network.
"""
