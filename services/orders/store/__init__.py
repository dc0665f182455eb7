"""Orders in Postgres. One statement per intent, in bulk; knows rows and SQL, decides nothing."""
