"""Acting: the policy for N environments, the env runner that steps them, and the episode chunks it returns."""
