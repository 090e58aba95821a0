"""Robot SF's own benchmark: its runner drives our policies and its planners, and writes its rows; we summarise them."""
