"""One module per topic of the contract; each holds its queries, its parameters and its answers."""
