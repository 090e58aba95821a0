"""World model: recurrent state-space model, encoder, decoder, imagination and open-loop prediction."""
