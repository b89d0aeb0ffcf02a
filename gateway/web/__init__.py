"""The console: what the ledger holds, shown to people, and the few things they may do to it."""
