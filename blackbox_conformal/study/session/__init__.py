"""Masks for pictures that arrive one after another."""
