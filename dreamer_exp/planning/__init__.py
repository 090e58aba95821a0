"""What is known before a run: memory forecast and dry run. Neither ray nor torch is imported."""
