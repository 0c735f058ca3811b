"""Looks after the layer versions that exist: lists them, brings numbers in line, takes back shares, cleans up.

Each command works region by region, several at once. A region that refuses or cannot be reached is reported with its
reason and does not stop the others. What changes something has a plan that can be looked at first, does its work in
steps each of which is complete in itself, and goes on where it stopped when it is run again.
"""
