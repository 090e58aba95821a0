"""Scenario families: parameters in YAML, floor plans, routes and pedestrians' patrols; without a simulator."""
