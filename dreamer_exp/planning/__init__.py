"""Planning of a run before it starts: memory forecast and dry run. Neither ray nor torch is imported."""
