"""The database: engines and sessions, tables, ids, and the SQL that differs between SQLite and PostgreSQL. No query of a feature."""
