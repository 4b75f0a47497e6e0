"""Mask pictures that arrive one after another."""
