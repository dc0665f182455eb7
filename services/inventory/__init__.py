"""Inventory: merchants, warehouses, bins, products; stock commands to the allocator and what came of them; stock levels as projected.

Owns the master data and the commands' history. Who gets which stock, and every stock record, is the allocator's.
"""
