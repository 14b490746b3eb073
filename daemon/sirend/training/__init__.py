"""Training and evaluation (extra ``[train]``). Imports the runtime; the runtime never imports this."""
