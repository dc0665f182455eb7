"""Generic plumbing and the published language. Knows no business: services import it, it imports no service."""
