"""One script a question; each compares in one run on one machine. See README.md for the last figures."""
