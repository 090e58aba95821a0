"""report/index.html of a run's directory: the run on one page that loads nothing, with the pictures next to it."""
