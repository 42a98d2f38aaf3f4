"""Has anything seen the future, and does the gate open only where there is something to find."""
