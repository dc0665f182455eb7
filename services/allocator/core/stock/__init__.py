"""The stock side: who gets which units of one SKU. A pure fold of commands over private mutable state; knows no clock and no SQL.

`rows` cross its border, `state` lives inside, `fold` is the door.
"""
