"""The JobQueue resource: its model, the definition (CRD) made from it, and reading one that was applied."""
