"""What one more SKU, reservation, partition, process or waiter costs: the same work at sizes that grow by ten."""
