"""Run directories -> table, statistics, figures, report; reads files alone, and imports neither ray nor torch."""
