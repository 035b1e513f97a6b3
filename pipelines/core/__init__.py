"""What everything stands on: settings, clock, money, errors, redaction, PostgreSQL. Imports nothing of ours."""
