"""Code that every Stepline process needs: selecting its environment variables, preventing inspection, and ending with its parent."""
