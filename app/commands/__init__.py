"""One file a command. Imported only when its command is typed, so that each costs what it needs and no more."""
