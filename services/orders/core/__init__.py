"""What may be done to a sales order, and what then becomes of it. Pure: the present order in, the next one and its event out."""
