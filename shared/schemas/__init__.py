"""The published language of Earmark: values, commands, events, and their form on the wire.

Frozen, slotted values; validated once, on decode (`wire`); trusted inside. Cores import this package and the standard library only.
"""
