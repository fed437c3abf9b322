"""Which runs make which table and figure of the paper; by name in `registry`."""
