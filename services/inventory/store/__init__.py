"""Inventory's rows in Postgres. SQL only: decides nothing."""
