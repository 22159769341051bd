"""Recordings of the user's own: folders by word, tables, Kaldi directories."""
