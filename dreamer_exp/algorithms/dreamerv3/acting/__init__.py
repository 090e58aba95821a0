"""Acting with the agent: one step, the policy of N environments, and the env runner around it."""
