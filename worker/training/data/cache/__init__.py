"""The cache of token ids: what determines them, and the entries on the worker's disk. Nothing here renders or encodes."""
