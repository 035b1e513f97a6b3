"""What happens once marts are new: whoever listens is told how fresh they are."""
