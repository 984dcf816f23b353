"""Code that every Stepline process needs: its environment variables, protection from inspection, and ending with its parent."""
