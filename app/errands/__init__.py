"""Errands: short tasks that workers do alongside their attempts, and their leases and results. The routes that request them are in packages such as previews/."""
