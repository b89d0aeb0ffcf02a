"""Sends what was made to its destinations, and asks them to answer for it."""
