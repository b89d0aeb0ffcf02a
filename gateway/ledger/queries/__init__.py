"""Every read of the ledger. Nothing here changes a row; counts are counted, never stored."""
