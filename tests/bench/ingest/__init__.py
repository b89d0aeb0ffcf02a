"""Every bar of the ingest path, measured against its peers in one alternating run."""
