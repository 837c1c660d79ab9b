"""One adapter for each client library, as thin as possible: see `kit.Kit`."""
