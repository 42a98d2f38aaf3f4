"""Who forecasts better, by how much, and beyond luck: everybody asked about the same rows, scored, and the gate."""
