"""Forward-only training as a command: networks, splits, the published table, pictures."""
