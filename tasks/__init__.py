"""The steps of the flows, each retried on its own: read, call the domain, write once, hand back a small receipt."""
