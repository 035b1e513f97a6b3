"""Bank statements, dropped as files: camt.053 (ISO 20022 XML), MT940 (SWIFT) and CSV with a mapping.

System: the banks in which PayShack settles. There is no login and no cursor: a person brings a file.
Quirks: statements overlap, files are given twice, and two payments of a day may look the same. So each line has a key
made of account, dates, amount, reference and text, and of its number among equal lines of its statement; the same line
in another file has the same key. One account should stay with one format: formats word the same line differently.
"""
