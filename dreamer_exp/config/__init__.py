"""What a user can turn: the schema, composing it, resolving "auto", and refusing what cannot work."""
