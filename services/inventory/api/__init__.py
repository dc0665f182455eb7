"""Inventory's HTTP: bodies in, documents out. Decides nothing: it loads, asks the core, saves and answers."""
