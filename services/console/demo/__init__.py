"""`earmark demo`: the whole flow on real services, told as it happens."""
