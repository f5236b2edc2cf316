"""The command line: one file a command. It prints what the rooms give it and holds no logic of its own."""
