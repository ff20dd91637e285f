"""Whether a client asks about what the model was trained on."""
