"""Bottega: a self-hosted, credit-metered software workshop."""

__version__ = "0.1.0"
