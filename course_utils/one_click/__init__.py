"""What the one-click lab computes: networks to edit, what is measured on them, and the chain."""
