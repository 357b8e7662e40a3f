"""One module per family of data sets. Each has a table ``ENTRIES`` of names and functions that open them."""
