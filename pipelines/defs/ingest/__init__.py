"""Raw assets, partitioned by UTC created day: a sensor feeds them, people read days again (window)."""
