"""The world model: RSSM, encoder and decoder, and open-loop prediction."""
