"""Sensors that start runs, checks and freshness policies that judge them, and the word when one fails."""
