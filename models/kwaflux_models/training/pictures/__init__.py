"""Training pictures: where they come from and how crops are drawn."""
