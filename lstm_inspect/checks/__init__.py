"""What holds models and traces to something: contracts, other models or traces, genuine Keras."""
