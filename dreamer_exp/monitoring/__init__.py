"""What a run records about itself while it trains: rows, progress, memory, CPU contention, summary."""
