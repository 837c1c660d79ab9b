"""One adapter for each client library, as thin as it can be: see `kit.Kit`."""
