"""Another truth: what the documents promise, as naively as it can be written, to hold the product against.

Written from the design and the acceptance list, not from the product, and importing nothing of it. Lists and loops, one thread, no
cache, no index, no batch but those that it is told: slow, and plain enough to be seen to be right.

| where | what |
|---|---|
| `stock` | one SKU: stock records, who holds what, who waits |
| `explaining` | why a line lacks units, and which actions would help, tried out on a copy |
| `messages` | the same SKU behind messages: attempts, repeats, batons |
| `demands` | several SKUs, one answer; all or nothing by trying all lines at once |
| `orders` | what may be done to an order, and what its history says |
"""
