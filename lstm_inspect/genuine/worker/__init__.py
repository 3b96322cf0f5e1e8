"""What runs in the process of Keras; no other module of `lstm_inspect` imports it."""
