"""What runs, in what order: one file a flow, each telling its story in one screen."""
