"""An hour of steady work at half of the maximum rate, looked at all the time: what grows, and whether what ended is forgotten."""
