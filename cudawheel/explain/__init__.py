"""From a log to the cause of what went wrong: patterns are data, the scan is a stream, secrets stay where they are."""
