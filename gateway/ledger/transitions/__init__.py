"""Every write to the ledger. Each takes the caller's session: one transaction, one or more moves.

A state change is a compare-and-set plus its event. The loser of a race gets StaleTransition.
"""
