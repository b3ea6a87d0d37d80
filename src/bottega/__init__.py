"""Bottega: a self-hosted, credit-metered software workshop."""
