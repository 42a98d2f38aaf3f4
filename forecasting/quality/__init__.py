"""Which delivered rows can be used: rules with stable codes, what they found, and an account of every row."""
