"""The cards of this host: their driver, selection, locks and lending. Nothing here checks whether a card works."""
