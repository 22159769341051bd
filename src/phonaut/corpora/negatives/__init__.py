"""What sounds like the words of a run and is none of them: near words, spoken, and recordings."""
